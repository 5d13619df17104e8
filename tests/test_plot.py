"""The summary figure shows what it says, with units, and draws whatever it is given."""

import io
import subprocess
import sys

import numpy as np
import pytest

from fslice.geometry import random_rotations, rotations_in_cone
from fslice.plot import Curve, draw_curves, half_map_curves, summary_figure
from fslice.postprocess.fsc import corrected_fsc
from fslice.postprocess.masks import soft_spherical_mask
from fslice.postprocess.orientations import orientation_distribution

SIZE, PIXEL_SIZE = 12, 3.0
FREQUENCIES = np.arange(SIZE // 2 + 1) / (SIZE * PIXEL_SIZE)
FALLING = np.linspace(1, 0, SIZE // 2 + 1)


@pytest.fixture
def volume(rng):
    return rng.normal(size=(SIZE,) * 3).astype(np.float32)


def titled(figure, title):
    """Return the axes with this title."""
    (found,) = [axes for axes in figure.axes if axes.get_title() == title]
    return found


def labelled(figure, label):
    """Return the axes with this x label."""
    (found,) = [axes for axes in figure.axes if axes.get_xlabel() == label]
    return found


def shown(axes):
    """Return the image that the axes show."""
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def rendered(figure):
    """Draw the figure; return the size of the picture in pixels."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    content = file.getvalue()
    assert content.startswith(b"\x89PNG")
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


@pytest.mark.parametrize("axis", range(3))
def test_slices_and_projections_are_those_of_the_map(axis, volume):
    figure = summary_figure(volume, PIXEL_SIZE)
    name = "zyx"[axis]
    image = shown(titled(figure, f"slice at {name} = 0"))
    np.testing.assert_array_equal(image, volume.take(SIZE // 2, axis))
    image = shown(titled(figure, f"projection along {name}"))
    np.testing.assert_allclose(image, volume.sum(axis), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("title", "x", "y"), [("slice at z = 0", "x", "y"), ("slice at y = 0", "x", "z")]
)
def test_axes_are_named_and_point_right_and_up(title, x, y, volume):
    axes = titled(summary_figure(volume, PIXEL_SIZE), title)
    assert (axes.get_xlabel(), axes.get_ylabel()) == (x, y)
    assert axes.get_images()[0].origin == "lower"
    assert axes.get_ylim()[0] < axes.get_ylim()[1]


def test_the_scale_bar_has_the_length_that_it_says(volume):
    axes = titled(summary_figure(volume, PIXEL_SIZE), "slice at z = 0")
    (bar,), (text,) = axes.lines, axes.texts
    assert text.get_text() == "5 Å"  # the box is 36 Angstrom
    assert np.ptp(bar.get_xdata()) * PIXEL_SIZE == pytest.approx(5)


def test_the_uncertainty_is_relative_to_the_prior_on_axes_of_frequency(volume):
    sigma = np.abs(volume) + 0.1
    figure = summary_figure(volume, PIXEL_SIZE, sigma=sigma, prior_variance=4.0)
    axes = titled(figure, "uncertainty at $k_y$ = 0")
    np.testing.assert_allclose(shown(axes), sigma[:, SIZE // 2] / 2)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$k_x$ [1/Å]", "$k_z$ [1/Å]")
    left, right, *_ = axes.get_images()[0].get_extent()
    step = 1 / (SIZE * PIXEL_SIZE)
    assert left == pytest.approx(-(SIZE // 2 + 0.5) * step)  # zero lies at SIZE // 2
    assert right - left == pytest.approx(SIZE * step)
    (bar,) = [axes for axes in figure.axes if "relative to the prior" in axes.get_xlabel()]
    assert labelled(figure, bar.get_xlabel()) is bar


def test_uncertainties_share_one_logarithmic_scale(volume):
    sigma = np.geomspace(1e-3, 1, SIZE**3).reshape(volume.shape)
    figure = summary_figure(volume, PIXEL_SIZE, sigma=sigma)
    norms = [axes.get_images()[0].norm for axes in figure.axes if "uncertainty" in axes.get_title()]
    assert len(norms) == 3
    assert len({(norm.vmin, norm.vmax) for norm in norms}) == 1
    assert {type(norm).__name__ for norm in norms} == {"LogNorm"}


def test_oversampled_uncertainties_keep_their_frequencies(volume):
    sigma = np.ones((2 * SIZE,) * 3)
    sigma[0, 0, 0] = 0.1
    figure = summary_figure(volume, PIXEL_SIZE, sigma=sigma)
    left, right, *_ = titled(figure, "uncertainty at $k_z$ = 0").get_images()[0].get_extent()
    assert right - left == pytest.approx(1 / PIXEL_SIZE)


def curves():
    return [
        Curve("against the truth", FREQUENCIES, FALLING, 0.5, 12.0),
        Curve("between half maps", FREQUENCIES, FALLING**2, 0.143, 9.0),
        Curve("predicted", FREQUENCIES, FALLING**3),
    ]


def test_curves_come_with_thresholds_resolutions_and_units(volume):
    figure = summary_figure(volume, PIXEL_SIZE, curves=curves())
    axes = labelled(figure, "spatial frequency [1/Å]")
    assert axes.get_ylabel() == "Fourier shell correlation"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "against the truth: 12.00 Å at 0.5",
        "between half maps: 9.00 Å at 0.143",
        "predicted",
    ]
    assert [text.get_text() for text in axes.texts] == ["0.143", "0.5"]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in dots] == [
        (1 / 12, 0.5),
        (1 / 9, 0.143),
    ]


def test_lengths_stand_above_their_frequencies(volume):
    axes = labelled(summary_figure(volume, PIXEL_SIZE, curves=curves()), "spatial frequency [1/Å]")
    (upper,) = axes.child_axes
    labels = [label.get_text() for label in upper.get_xticklabels()]
    assert len(labels) == 5
    for label, place in zip(labels, upper.get_xticks(), strict=True):
        assert label == f"{1 / place:g} Å"


def test_curves_are_told_apart_without_colour(volume):
    axes = labelled(summary_figure(volume, PIXEL_SIZE, curves=curves()), "spatial frequency [1/Å]")
    styles = {str(line.get_linestyle()) for line in axes.lines if len(line.get_xdata()) > 2}
    assert len(styles) == 3


@pytest.mark.parametrize(
    ("values", "reached", "legend"),
    [
        (np.ones_like(FALLING), 6.0, "a: above 0.5 to the end, 6.00 Å"),
        (-FALLING, np.inf, "a: below 0.5 throughout"),
    ],
)
def test_curves_that_never_cross_say_so_and_have_no_dot(values, reached, legend, volume):
    shown = [Curve("a", FREQUENCIES, values, 0.5, reached)]
    axes = labelled(summary_figure(volume, PIXEL_SIZE, curves=shown), "spatial frequency [1/Å]")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [legend]
    assert not [line for line in axes.lines if line.get_marker() == "o"]


def test_curves_can_be_drawn_into_any_axes():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw_curves(axes, curves())
    assert axes.get_xlim() == (0, FREQUENCIES[-1])


def test_images_are_shown_and_gains_per_epoch(volume):
    gains = [-5.0, 10.0, 12.0]
    figure = summary_figure(volume, PIXEL_SIZE, particles=volume[:5], elbo_gains=gains)
    np.testing.assert_array_equal(shown(titled_left(figure, "some of the images")), volume[0])
    (line,) = labelled(figure, "epoch").lines
    assert line.get_xdata().tolist() == [0, 1, 2]
    assert line.get_ydata().tolist() == gains
    assert labelled(figure, "epoch").get_ylabel() == "gain in ELBO\n[nats]"


def titled_left(figure, title):
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return found


@pytest.mark.parametrize("axis", range(3))
def test_local_resolution_lies_over_the_map_where_there_is_one(axis, volume):
    places = np.abs(volume) + 5
    places[:4] = np.nan
    figure = summary_figure(volume, PIXEL_SIZE, local_resolution=places)
    axes = titled(figure, f"local resolution at {'zyx'[axis]} = 0")
    below, above = axes.get_images()
    np.testing.assert_array_equal(below.get_array(), volume.take(SIZE // 2, axis))
    expected = places.take(SIZE // 2, axis)
    np.testing.assert_array_equal(above.get_array().filled(np.nan), expected)
    (bar,) = [part for part in figure.axes if part.get_xlabel().startswith("local resolution")]
    assert "[Å]" in bar.get_xlabel()
    limits = {part.get_images()[1].get_clim() for part in figure.axes if len(part.get_images()) > 1}
    assert len(limits) == 1


def test_deviations_of_voxels_are_smoothed_and_say_so(volume):
    rough = np.abs(volume)
    figure = summary_figure(volume, PIXEL_SIZE, voxel_std=rough)
    image = shown(titled(figure, "uncertainty at z = 0"))
    assert image.std() < 0.5 * rough.std()
    assert image.mean() == pytest.approx(np.sqrt((rough**2).mean()), rel=0.1)
    assert any("smoothed" in axes.get_xlabel() for axes in figure.axes)
    even = summary_figure(volume, PIXEL_SIZE, voxel_std=np.full_like(volume, 0.3))
    np.testing.assert_allclose(shown(titled(even, "uncertainty at z = 0")), 0.3, rtol=1e-6)


def test_directions_of_view_are_where_they_are_on_the_sphere(volume):
    rotations = rotations_in_cone(3000, 30, np.random.default_rng(0))
    found = orientation_distribution(rotations, nside=4)
    figure = summary_figure(volume, PIXEL_SIZE, orientations=found)
    (axes,) = [axes for axes in figure.axes if axes.name == "mollweide"]
    title = axes.get_title()
    assert f"efficiency {found.efficiency:.2f}" in title
    assert f"{100 * found.unseen:.0f} % of frequencies unseen" in title
    (mesh,) = axes.collections
    density = mesh.get_array().reshape(180, 360)
    assert density[-1].filled(0).min() > 0  # north, where all views are
    assert density[:120].mask.all()
    even = orientation_distribution(random_rotations(3000, np.random.default_rng(0)))
    even = summary_figure(volume, PIXEL_SIZE, orientations=even)
    (axes,) = [axes for axes in even.axes if axes.name == "mollweide"]
    assert "unseen" not in axes.get_title()


def test_the_outline_is_that_of_the_mask(volume):
    mask = soft_spherical_mask(SIZE, 3, 2)
    axes = titled(summary_figure(volume, PIXEL_SIZE, mask=mask), "slice at z = 0")
    (outline,) = axes.collections
    (path,) = outline.get_paths()
    distance = np.hypot(*(path.vertices - SIZE // 2).T)
    assert distance.min() > 3
    assert distance.max() < 5
    whole = summary_figure(volume, PIXEL_SIZE, mask=np.ones_like(volume))
    assert not titled(whole, "slice at z = 0").collections


def test_the_curves_of_half_maps_lead_with_the_corrected_one(rng):
    volume, *noise = rng.normal(size=(3, SIZE, SIZE, SIZE))
    mask = soft_spherical_mask(SIZE, 4, 2)
    found = corrected_fsc(*(volume + part for part in noise), mask, PIXEL_SIZE)
    drawn = half_map_curves(found)
    assert drawn[0].label == "half maps, corrected"
    np.testing.assert_array_equal(drawn[0].values, found.corrected)
    assert drawn[0].resolution == found.resolution
    assert [curve.threshold for curve in drawn] == [0.143, 0.143, 0.143, None]
    figure = summary_figure(volume, PIXEL_SIZE, curves=drawn)
    assert len(labelled(figure, "spatial frequency [1/Å]").get_legend().get_texts()) == 4


def test_a_curve_that_cannot_be_relied_on_says_so_in_the_picture(volume):
    drawn = [Curve("predicted from s", FREQUENCIES, FALLING, reliable=False), *curves()]
    axes = labelled(summary_figure(volume, PIXEL_SIZE, curves=drawn), "spatial frequency [1/Å]")
    first, second, *_ = [text.get_text() for text in axes.get_legend().get_texts()]
    assert first == "predicted from s (unreliable: no resolution to report)"
    assert "unreliable" not in second


def test_everything_at_once_is_drawn_without_a_warning(volume):
    places = np.full_like(volume, np.nan)
    figure = summary_figure(
        volume,
        PIXEL_SIZE,
        sigma=np.abs(volume) + 0.1,
        voxel_std=np.abs(volume),
        local_resolution=places,  # of an empty mask
        mask=np.zeros_like(volume),
        curves=curves(),
        orientations=orientation_distribution(random_rotations(9, np.random.default_rng(0))),
        particles=volume[:3],
        elbo_gains=[1.0, 2.0],
        title="everything",
    )
    assert rendered(figure) == (1950, 2205)


@pytest.mark.parametrize("size", [4, 5, 33])
def test_whatever_is_given_is_drawn_without_a_warning_in_a_figure_that_has_room(size, rng):
    volume = rng.normal(size=(size,) * 3)
    frequencies = np.arange(size // 2 + 1) / size
    given = {
        "curves": [Curve("a", frequencies, np.linspace(1, -0.2, size // 2 + 1), 0.5, 2.5)],
        "particles": volume[:2],
        "elbo_gains": [3.5],
        "title": "everything",
    }
    width, height = rendered(summary_figure(volume, 1.0, **given))
    same, higher = rendered(summary_figure(volume, 1.0, sigma=np.ones_like(volume), **given))
    assert same == width
    assert higher > height  # by the row of uncertainties
    assert min(width, height) > 900


def test_a_map_of_zeros_is_drawn():
    zeros = np.zeros((6, 6, 6), np.float32)
    rendered(summary_figure(zeros, 2.0, sigma=zeros + 1e-8, particles=zeros[:1]))


def test_nothing_that_is_passed_is_changed(volume):
    sigma, before = np.abs(volume) + 1, volume.copy()
    rendered(summary_figure(volume, PIXEL_SIZE, sigma=sigma, particles=volume, curves=curves()))
    np.testing.assert_array_equal(volume, before)
    np.testing.assert_array_equal(sigma, np.abs(before) + 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mean": np.zeros((4, 4, 5))}, ValueError, r"mean: expected shape \(4, 4, 4\)"),
        ({"mean": np.zeros((4, 4, 4), int)}, TypeError, "mean: expected dtype float32 or"),
        ({"sigma": np.zeros((4, 4))}, ValueError, r"sigma: expected shape \(4, 4, 4\)"),
    ],
)
def test_wrong_arrays_are_named(arguments, error, message):
    given = {"mean": np.zeros((4, 4, 4)), **arguments}
    with pytest.raises(error, match=message):
        summary_figure(pixel_size=1.0, **given)


def test_without_matplotlib_the_command_that_installs_it_is_given(monkeypatch, volume):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="which is missing: pip install matplotlib"):
        summary_figure(volume, PIXEL_SIZE)


def test_neither_pyplot_nor_its_state_is_touched():
    code = (
        "import sys, numpy as np\n"
        "import fslice.plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "fslice.plot.summary_figure(np.ones((4, 4, 4)), 1.0).savefig(sys.stdout.buffer)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr
