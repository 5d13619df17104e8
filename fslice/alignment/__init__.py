"""Unknown poses: the posterior over the pose of each image, given a map."""

from fslice._lazy import lazy_namespace

__getattr__, __dir__ = lazy_namespace(__name__)
