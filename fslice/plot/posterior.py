"""The picture of a fit: `Posterior.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fslice._arrays import to_numpy
from fslice.metrics import fsc, resolution, shell_frequencies
from fslice.plot.curves import Curve
from fslice.plot.summary import summary_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def posterior_figure(posterior: Any, pixel_size: float = 1.0) -> Figure:
    """Draw a fit: its map, the uncertainty of every frequency, half maps and samples.

    Parameters
    ----------
    posterior : fslice.posterior.result.Posterior
    pixel_size : float, optional
        In Angstrom.

    Returns
    -------
    matplotlib.figure.Figure
    """
    size = posterior.mean.shape[0]
    frequencies = shell_frequencies(size, pixel_size)
    curves = []
    if posterior.half_maps is not None:
        halves, label = posterior.half_maps, "between half maps"
        if (to_numpy(posterior.mean) == 0).any():  # inside a mask they share its edge
            halves, label = posterior.unfiltered_half_maps, "between unfiltered half maps"
        values = to_numpy(fsc(*halves))
        reached = resolution(values, size, pixel_size, 0.143)
        curves.append(Curve(label, frequencies, values, 0.143, reached))
    if posterior.fsc_samples is not None:
        values = posterior.fsc_samples.mean(0)
        reached = resolution(values, size, pixel_size)
        curves.append(Curve("predicted by samples", frequencies, values, 0.5, reached))
    std = None if posterior.posterior_std is None else to_numpy(posterior.posterior_std_grid())
    return summary_figure(
        posterior.mean,
        pixel_size,
        sigma=std,
        prior_variance=posterior.prior_variance,
        voxel_std=posterior.voxel_std,
        curves=curves,
        elbo_gains=[bound - posterior.elbo_prior for bound in posterior.elbo_trace],
        title=f"{posterior.images:,} images, box {size} pixels",
    )
