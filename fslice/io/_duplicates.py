"""Images that a file of particles lists more than once."""

from __future__ import annotations

import numpy as np


def describe_duplicates(identity: np.ndarray, half_set: np.ndarray | None) -> list[str]:
    """Say how many images are there more than once, and how many of them in both halves.

    Parameters
    ----------
    identity : (n,) int array
        Equal for the same image.
    half_set : (n,) int array or None
        1 or 2.

    Examples
    --------
    >>> describe_duplicates(np.array([5, 7, 5]), np.array([1, 2, 2]))
    ['1 image is listed more than once, 1 of them in both half sets, which are not independent']
    """
    images, inverse, counts = np.unique(identity, return_inverse=True, return_counts=True)
    twice = int((counts > 1).sum())
    if not twice:
        return []
    text = f"{twice} image{'s are' if twice > 1 else ' is'} listed more than once"
    if half_set is not None:
        in_half = [
            np.bincount(inverse.reshape(-1)[half_set == half], minlength=len(images)) > 0
            for half in (1, 2)
        ]
        if shared := int((in_half[0] & in_half[1]).sum()):
            text += f", {shared} of them in both half sets, which are not independent"
    return [text]
