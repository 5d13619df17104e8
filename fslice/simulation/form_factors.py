"""Form factors: how strongly atoms scatter electrons, as sums of Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np

_TERMS = 5
_DIGITS = 4
"""As published; what is read has the rounding of single precision on top."""


def electron_form_factors(atomic_numbers: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the elastic form factors of neutral atoms for electrons.

    Parameters
    ----------
    atomic_numbers : (J,) integer array
        From 1 to 98.

    Returns
    -------
    amplitudes : (J, 5) float64 array
        ``a_i`` in Angstrom.
    widths : (J, 5) float64 array
        ``b_i`` in Angstrom squared, as B-factors.

    Raises
    ------
    ValueError
        The shape is not as above, or an element has no form factor.
    ImportError
        The package gemmi, which holds the table, is missing.

    Notes
    -----
    ``f(s) = sum_i a_i exp(-b_i |s|^2 / 4)`` with the frequency s in 1/Angstrom, up to 4 (Peng,
    Ren, Dudarev and Whelan 1996; International Tables for Crystallography C, table 4.3.2.2).
    Times ``h^2 / (2 pi m e) = 47.878 V Angstrom^2`` it is the transform of the potential.

    Examples
    --------
    Carbon scatters 2.5 Angstrom forward, and what it sees is wider than its nucleus:

    >>> amplitudes, widths = electron_form_factors([6])
    >>> round(amplitudes.sum(), 4), widths.max()
    (np.float64(2.5088), np.float64(50.2523))
    """
    numbers = np.asarray(atomic_numbers)
    if numbers.ndim != 1:
        raise ValueError(f"atomic_numbers: expected shape (J,), got {numbers.shape}")
    elements, index = np.unique(numbers, return_inverse=True)
    table = np.array([_coefficients(element) for element in elements.tolist()])
    return table[index, 0], table[index, 1]


def _coefficients(atomic_number: Any) -> np.ndarray:
    """Return amplitudes and widths of one element, (2, 5)."""
    try:
        import gemmi
    except ImportError as error:
        raise ImportError(
            "form factors of electrons need the package gemmi, which is missing: pip install gemmi"
        ) from error
    known = isinstance(atomic_number, int) and 0 < atomic_number < 119
    found = gemmi.Element(atomic_number).c4322 if known else None
    if found is None:
        raise ValueError(
            f"atomic_numbers: expected elements from 1 to 98, whose form factors for electrons are "
            f"known, got {atomic_number}"
        )
    return np.round(np.array(found.get_coefs()).reshape(2, _TERMS), _DIGITS)
