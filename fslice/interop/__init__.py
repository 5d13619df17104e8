"""Operators inside other frameworks' automatic differentiation: `torch` and `jax`."""

from fslice._lazy import lazy_namespace

__getattr__, __dir__ = lazy_namespace(__name__)
