"""Ways from a data set to a posterior."""

from fslice._lazy import lazy_namespace

__getattr__, __dir__ = lazy_namespace(__name__)
