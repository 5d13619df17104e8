"""Results that can be believed: masks, corrected FSC, local resolution, views, and checks."""

from fslice._lazy import lazy_namespace

__getattr__, __dir__ = lazy_namespace(__name__)
