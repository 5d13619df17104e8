"""How good is a map: Fourier shell correlation, spectral signal-to-noise ratio, resolution."""

from fslice.metrics._comparisons import (
    credible_band,
    mean_squared_error,
    split_half_sets,
)
from fslice.metrics._correlation import (
    fsc,
    fsc_from_spectra,
    resolution,
    shell_frequencies,
)
from fslice.metrics._map_alignment import MapAlignment, align_maps
from fslice.metrics._signal_to_noise import (
    fsc_from_snr,
    snr_from_fsc,
    spectral_snr,
)

__all__ = [
    "MapAlignment",
    "align_maps",
    "credible_band",
    "fsc",
    "fsc_from_snr",
    "fsc_from_spectra",
    "mean_squared_error",
    "resolution",
    "shell_frequencies",
    "snr_from_fsc",
    "spectral_snr",
    "split_half_sets",
]
