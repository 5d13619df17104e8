"""What images say about a volume: normal equations, prior, mean, bound, samples, evidence."""

from fslice._lazy import lazy_namespace

__getattr__, __dir__ = lazy_namespace(__name__)
