"""Particle images with what is known of them, and the one pass over them."""

from fslice._lazy import lazy_namespace

__getattr__, __dir__ = lazy_namespace(__name__)
