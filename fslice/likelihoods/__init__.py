"""How likely images are, given what is expected."""

from fslice._lazy import lazy_namespace

__getattr__, __dir__ = lazy_namespace(__name__)
