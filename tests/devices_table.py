"""Functions that the table of refusals leaves out: they check elsewhere, or take any shape.

`test_devices` calls all of both tables on a device.
"""

import numpy as np
from operators_table import (
    CTFS,
    IMAGES,
    IMAGES_FT,
    LINES_FT,
    OPERATORS,
    ROTATIONS,
    SIGMA,
    VOLUME,
    VOLUME_FT,
    D,
    Operator,
    beside,
    normal_beside,
)

import fslice
from fslice import CTF, fourier, metrics, optim
from fslice._arrays import array_namespace
from fslice.fourier import radii
from fslice.likelihoods.poisson import log_factorial
from fslice.operators import aberrations, spaces, zernike
from fslice.operators.linop import LinearOperator, stack
from fslice.posterior import elbo, families, latent, mean
from fslice.posterior.precision import PosteriorPrecision
from fslice.postprocess.checks import duplicate_images, map_sign
from fslice.postprocess.filters import apply_b_factor, low_pass, phase_randomize
from fslice.postprocess.fsc import corrected_fsc
from fslice.postprocess.healpix import bin_of
from fslice.postprocess.local_resolution import local_resolution
from fslice.postprocess.masks import check_mask, cut_share, mask_from_map, soft_spherical_mask
from fslice.postprocess.orientations import orientation_distribution
from fslice.symmetry.average import GroupAverage

rng = np.random.default_rng(0)
BALL = soft_spherical_mask(16, 4.0, 2.0)
OBJECT = fslice.phantom(16, 4.0).volume(16, 4.0)
HALVES = OBJECT + 0.1 * OBJECT.std() * rng.normal(size=(2, 16, 16, 16))


def precision_beside(array):
    """Return the precision without images in the library and in the precision of an array."""
    return PosteriorPrecision(normal_beside(array), 2.0)


def band_limit(image):
    """Return an operator on images like this one."""
    images = spaces.Space(image.shape, image.dtype)
    return LinearOperator(images, images, filtered, filtered)


def filtered(image):
    """Return an image without its high frequencies."""
    near = radii(image.shape[-1], 2, array_namespace(image)) < 2
    return fourier.irfft2(near * fourier.rfft2(image))


OTHERS = {
    "transform": Operator(lambda array: fourier.transform(array, 2), {"array": IMAGES}),
    "inverse_transform": Operator(
        lambda array_ft: fourier.inverse_transform(array_ft, 2, 6), {"array_ft": IMAGES_FT}
    ),
    "inverse_transform (lines)": Operator(
        lambda array_ft: fourier.inverse_transform(array_ft, 1, 6), {"array_ft": LINES_FT}
    ),
    "axis_transform": Operator(lambda array: fourier.axis_transform(array, 1), {"array": IMAGES}),
    "inverse_axis_transform": Operator(
        lambda array_ft: fourier.inverse_axis_transform(array_ft, 1, 4),
        {"array_ft": VOLUME_FT[:, :3]},
    ),
    "pad": Operator(lambda array: fourier.pad(array, 9, 2), {"array": IMAGES}),
    "crop": Operator(lambda array: fourier.crop(array, 4, 2), {"array": IMAGES}),
    "shell_sum": Operator(
        lambda values: fourier.shell_sum(values, 6, 3), {"values": abs(VOLUME_FT)}
    ),
    "reconstruct": Operator(  # test_devices_solvers.py looks at all that it finds
        lambda **given: fslice.reconstruct(**given).mean, OPERATORS["reconstruct"].arrays
    ),
    "adam_init": Operator(optim.adam_init, {"parameters": VOLUME_FT}),
    "credible_band": Operator(metrics.credible_band, {"curves": VOLUME[0]}),
    "to_vector": Operator(spaces.to_vector, {"array": IMAGES_FT}),
    "from_vector": Operator(
        lambda array: spaces.from_vector(
            spaces.to_vector(array), spaces.Space(array.shape, array.dtype)
        ),
        {"array": IMAGES_FT},
    ),
    "stack": Operator(
        lambda array: stack([band_limit(array), 2 * band_limit(array)])(array), {"array": IMAGES[0]}
    ),
    "stack.H": Operator(
        lambda array: stack([band_limit(array[0])] * 2).H(array), {"array": IMAGES}
    ),
    "CTF": Operator(
        lambda defocus: CTF(
            defocus_u=defocus,
            defocus_v=1.1 * defocus[:1],
            astigmatism_angle=30,
            voltage=300,
            spherical_aberration=2.7,
            amplitude_contrast=0.1,
            pixel_size=1.5,
            b_factor=[3.0, 4.0],
        ).evaluate(6),
        {"defocus": 1e4 + IMAGES[0, 0, :2]},
    ),
    "CTF.__getitem__": Operator(
        lambda index: beside(index, CTFS)[index > 0].evaluate(6, "float32"),
        {"index": np.array([0, 1])},
    ),
    "GroupAverage": Operator(lambda volume: GroupAverage("D3")(volume), {"volume": VOLUME}),
    "GroupAverage.adjoint": Operator(
        lambda volume: GroupAverage("D3").adjoint(volume), {"volume": VOLUME}
    ),
    "zernike_phases": Operator(
        lambda coefficients: zernike.zernike_phases(coefficients, D, 2.0),
        {"coefficients": IMAGES[0]},
    ),
    "zernike_phases_vjp": Operator(
        lambda coefficients, cotangent: zernike.zernike_phases_vjp(
            coefficients, D, 2.0, cotangent=cotangent
        ),
        {"coefficients": IMAGES[0, 0].copy(), "cotangent": IMAGES_FT[0].real.copy()},
    ),
    "aberrate_slices": Operator(
        aberrations.aberrate_slices, {"slices": IMAGES_FT, "phases": IMAGES_FT.real.copy()}
    ),
    "aberrate_slices_vjp": Operator(
        aberrations.aberrate_slices_vjp,
        {"slices": IMAGES_FT, "phases": IMAGES_FT.real.copy(), "cotangent": IMAGES_FT},
    ),
    "aberrated_ctf": Operator(
        lambda phases: aberrations.aberrated_ctf(beside(phases, CTFS), phases),
        {"phases": IMAGES_FT.real.copy()},
    ),
    "aberrated_ctf_vjp": Operator(
        lambda phases, cotangent: aberrations.aberrated_ctf_vjp(
            beside(phases, CTFS), phases, cotangent=cotangent
        ),
        {"phases": IMAGES_FT.real.copy(), "cotangent": IMAGES_FT.imag.copy()},
    ),
    "local_resolution": Operator(
        lambda half1, half2, mask: local_resolution(half1, half2, mask, 4.0),
        {"half1": HALVES[0], "half2": HALVES[1], "mask": BALL},
    ),
    "orientation_distribution": Operator(  # it is on the host
        lambda rotations: orientation_distribution(rotations).efficiency, {"rotations": ROTATIONS}
    ),
    "bin_of": Operator(lambda directions: bin_of(directions, 4), {"directions": VOLUME[..., :3]}),
    "map_sign": Operator(map_sign, {"volume": OBJECT, "mask": BALL}),
    "duplicate_images": Operator(  # it is on the host
        lambda images: duplicate_images(images).tolist(), {"images": IMAGES}
    ),
    "low_pass": Operator(lambda volume: low_pass(volume, 2.0, 6.0), {"volume": VOLUME}),
    "apply_b_factor": Operator(
        lambda volume: apply_b_factor(volume, 2.0, 50.0), {"volume": VOLUME}
    ),
    "phase_randomize": Operator(
        lambda volume: phase_randomize(volume, 1, np.random.default_rng(0)), {"volume": VOLUME}
    ),
    "mask_from_map": Operator(lambda volume: mask_from_map(volume, 4.0), {"volume": OBJECT}),
    "cut_share": Operator(
        lambda volume, mask: cut_share(volume, mask, 4.0), {"volume": OBJECT, "mask": BALL}
    ),
    "check_mask": Operator(
        lambda volume, mask: check_mask(mask, volume), {"volume": OBJECT, "mask": BALL}
    ),
    "corrected_fsc": Operator(  # its curves are on the host
        lambda half1, half2, mask: corrected_fsc(half1, half2, mask, 4.0).resolution,
        {"half1": HALVES[0], "half2": HALVES[1], "mask": BALL},
    ),
    "log_factorial": Operator(log_factorial, {"y": abs(VOLUME)}),
    "GaussianPosterior.sample": Operator(
        lambda mean, std: families.GaussianPosterior(mean, std).sample(np.random.default_rng(0)),
        {"mean": VOLUME_FT, "std": SIGMA},
    ),
    "GaussianPosterior.kl": Operator(
        lambda mean, std: families.GaussianPosterior(mean, std).kl(2.0),
        {"mean": VOLUME_FT, "std": SIGMA},
    ),
    "elbo_gradients": Operator(
        lambda mean, std: elbo.elbo_gradients(precision_beside(mean), mean, std),
        {"mean": VOLUME_FT, "std": SIGMA},
    ),
    "expected_log_likelihood": Operator(
        lambda spectrum: elbo.expected_log_likelihood(precision_beside(spectrum), spectrum),
        {"spectrum": VOLUME_FT},
    ),
    "weighted_backprojection": Operator(
        lambda spectrum: mean.weighted_backprojection(precision_beside(spectrum)),
        {"spectrum": VOLUME_FT},
    ),
    "SymmetricVolume": Operator(
        lambda mask: latent.SymmetricVolume(fslice.Projector(D), mask, "C3").diagonal(
            normal_beside(mask)
        ),
        {"mask": np.clip(abs(VOLUME), 0, 1)},
    ),
}
