"""Faults seeded into the CUDA source, one at a time: each is noticed, and how is known.

A fault is compiled into the kernels that a probe runs, in the types it runs them in. The result
is compared with NumPy's definition, and with itself in other orders of threads.
"""

import dataclasses

import cuda_host
import numpy as np
import pytest
import standin
from cuda_host.build import PLAIN, UNDEFINED
from cuda_mutants import BITS, MUTANTS, NUMBERS, RACE
from strategies import noise, poses
from test_cuda_kernels import TOLERANCE
from test_kernels import moved

from fslice._arrays import complex_dtype, to_numpy
from fslice._kernels import CUBIC, LINEAR, Filters, SliceGeometry, Views
from fslice._kernels.cuda.sources import FOLDER, SOURCES, source_of
from fslice._kernels.numpy import KERNELS as DEFINITION
from fslice.geometry import euler_to_matrix, random_rotations

pytestmark = pytest.mark.skipif(
    cuda_host.compiler() is None, reason="there is no C++ compiler to run the CUDA source with"
)
ORDERS = (0, 1, 4)
IMAGES = 3
_integers = np.random.default_rng(1).integers
SCORES, CROSS = 1.0 * _integers(-3, 6, (IMAGES, 600)), 1.0 * _integers(-3, 3, (IMAGES, 5, 90))
"""Scores, many of which are equal."""
ROTATIONS = random_rotations(600, np.random.default_rng(2))


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a fault is looked for with: a computation on a problem."""

    compute: object  # of kernels, arrays and a geometry
    size: int = 8
    taps: tuple = LINEAR
    count: int = IMAGES
    dtype: str = "float64"
    plane: bool = False
    options: dict = dataclasses.field(default_factory=dict)
    reach: float = 1.0  # of shifts
    exact: bool = False  # rotations by right angles
    scale: float = 1.0  # distance of pixels in cells

    def problem(self):
        """Return the geometry, volume, slices, views and filters: the corners of slices as well."""
        rng, depth = np.random.default_rng(11), 1 if self.plane else self.size
        box = (depth, self.size, self.size)
        geometry = SliceGeometry(*box, self.size, self.size, self.scale, 2.0 * self.size, self.taps)
        half, dtype = geometry.slice_shape, self.dtype
        slices = noise(rng, (self.count, *half), complex_dtype(dtype))
        rotations = poses(rng, (self.count,))
        if self.exact:
            rotations = np.rint(euler_to_matrix(90.0 * rng.integers(-2, 3, (self.count, 3))))
        views = Views(
            rotations.astype(dtype),
            self.reach * noise(rng, (self.count, 2), dtype),
            rng.permutation(self.count) if self.count == IMAGES else None,
            rng.uniform(0.5, 2, self.count).astype(dtype),
        )
        table = abs(noise(rng, (2, *half), dtype))
        filters = Filters(noise(rng, (self.count, *half), dtype), table, np.array([0, 1, 1]))
        volume = np.fft.rfftn(noise(rng, box), norm="ortho").astype(slices.dtype)
        return geometry, volume, slices, views, filters

    def results(self, kernels, xp):
        """Return what kernels give, as NumPy arrays."""
        geometry, volume, slices, views, filters = self.problem()
        views, filters = (views, filters) if xp is np else moved(xp, views, filters)
        arrays = xp.asarray(volume), xp.asarray(slices), views, filters
        found = self.compute(kernels, *arrays, geometry)
        return [to_numpy(value) for value in (found if type(found) is tuple else (found,))]


def converted(kernels, *arrays):
    """Return arrays in the library of the kernels."""
    convert = np.asarray if kernels is DEFINITION else standin.library._modules()["cupy"].asarray
    return tuple(map(convert, arrays))


def gather(kernels, volume, slices, views, filters, geometry):
    return kernels.gather(volume, views, 1.5, geometry)


def gather_slopes(kernels, volume, slices, views, filters, geometry):
    return kernels.gather_slopes(volume, views, 1.5, geometry)


def gather_curvatures(kernels, volume, slices, views, filters, geometry):
    return kernels.gather_curvatures(volume, views, 1.5, geometry)


def scatter(kernels, volume, slices, views, filters, geometry):
    return kernels.scatter(slices, views, 1.5, geometry)


def squares(kernels, volume, slices, views, filters, geometry):
    return kernels.scatter_squares(abs(slices), views, geometry)


def stencil(kernels, volume, slices, views, filters, geometry):
    total = kernels.new_gram(geometry, slices.real.dtype)
    if len(slices) != IMAGES:
        filters = Filters()
    kernels.add_gram(total, views, filters, geometry)
    return kernels.stencil_of(total, geometry)


def product(kernels, volume, slices, views, filters, geometry):
    rows = np.arange(14.0)[:, None, None, None]
    expected = np.cos(rows + np.arange(volume.size).reshape(volume.shape))
    return kernels.apply_stencil(*converted(kernels, expected), volume)


def ctf(kernels, volume, slices, views, filters, geometry):
    coefficients = views.rotations.reshape(3, 9)[:, :7].copy()
    return kernels.ctf_values(coefficients, geometry, "float64")


def misfit(kernels, volume, slices, views, filters, geometry):
    return kernels.misfit(volume, slices, views, filters, 1.5, geometry)


def gradients(kernels, volume, slices, views, filters, geometry):
    return kernels.misfit_gradients(volume, slices, views, filters, 1.5, geometry)


def pose_gram(kernels, volume, slices, views, filters, geometry):
    return kernels.pose_gram(volume, slices, views, filters, 1.5, geometry)


def pose_curvature(kernels, volume, slices, views, filters, geometry):
    return kernels.pose_curvature(volume, slices, views, filters, 1.5, geometry)


def best_over_shifts(kernels, volume, slices, views, filters, geometry):
    given = converted(kernels, CROSS, SCORES[:, :90], np.arange(5.0) - 2)
    return kernels.best_over_shifts(*given)


def peaks(kernels, volume, slices, views, filters, geometry):
    return kernels.peaks(*converted(kernels, SCORES, ROTATIONS), 40, 0.9, 0.5)


PROBES = {
    "gather": Probe(gather),
    "cubic": Probe(gather, taps=CUBIC, size=7),
    "slopes": Probe(gather_slopes),
    "curves": Probe(gather_curvatures, taps=CUBIC),
    "far": Probe(gather, dtype="float32", reach=1e4),
    "scatter": Probe(scatter, taps=CUBIC, size=6),
    "exact": Probe(scatter, exact=True),
    "plane": Probe(scatter, taps=CUBIC, plane=True),
    "bricks": Probe(scatter, size=20),
    "many": Probe(scatter, size=6, count=300),
    "dense": Probe(scatter, size=20, scale=0.3),
    "chunks": Probe(scatter, count=5, options={"most_views": 2}),
    "squares": Probe(squares),
    "atomic": Probe(scatter, options={"deterministic": False}),
    "stencil": Probe(stencil),
    "moments": Probe(stencil, size=6, count=300),
    "dense moments": Probe(stencil, size=20, scale=0.3),
    "product": Probe(product),
    "ctf": Probe(ctf),
    "views": Probe(misfit),
    "misfit": Probe(gradients, size=24),
    "pose": Probe(pose_gram),
    "curvature": Probe(pose_curvature, taps=CUBIC),
    "shifts": Probe(best_over_shifts),
    "peaks": Probe(peaks),
}


def noticed(probe, sources, flags=PLAIN):
    """Return what shows that the source is faulty: a message, numbers, bits, or nothing."""
    expected, found = probe.results(DEFINITION, np), []
    with standin.installed() as cupy:
        for order in ORDERS:
            options = {"order": order, "flags": flags, "sources": sources, **probe.options}
            try:
                found.append(probe.results(cuda_host.host_kernels(**options), cupy))
            except RuntimeError as error:
                if "does not compile" in str(error):
                    raise
                return str(error)
    for result in found:
        for one, other in zip(result, expected, strict=True):
            difference = abs(one - other).max()
            if not difference <= TOLERANCE[probe.dtype] * abs(other).max():
                return NUMBERS
    same = all(
        np.array_equal(one, other)
        for result in found[1:]
        for one, other in zip(result, found[0], strict=True)
    )
    return "nothing" if same else BITS


def mutated(mutant):
    """Return the sources with the fault, of every kernel whose files have it."""
    text = (FOLDER / mutant.file).read_text()
    assert text.count(mutant.old) == 1, f"{mutant.file} has changed: find {mutant.old!r} anew"
    faulty = text.replace(mutant.old, mutant.new)
    return {
        entry: source_of(entry).replace(text, faulty)
        for entry, source in SOURCES.items()
        if mutant.file in source.files
    }


@pytest.mark.parametrize("name", PROBES)
def test_without_a_fault_nothing_is_noticed(name):
    found = noticed(PROBES[name], {}, UNDEFINED)
    assert found == (BITS if name == "atomic" else "nothing")


SEEN = [mutant for mutant in MUTANTS if mutant.noticed != RACE]


@pytest.mark.parametrize("mutant", SEEN, ids=[mutant.name for mutant in SEEN])
def test_a_fault_in_the_cuda_source_is_noticed(mutant, capfd):
    found = noticed(PROBES[mutant.probe], mutated(mutant))
    capfd.readouterr()  # the sanitizer reports as well
    assert mutant.noticed in found


def test_every_kernel_has_a_fault_and_every_probe_a_use():
    files = {mutant.file for mutant in MUTANTS}
    assert files >= {name for source in SOURCES.values() for name in source.files} - {"ctf.cu"}
    assert {mutant.probe for mutant in MUTANTS} == PROBES.keys()
