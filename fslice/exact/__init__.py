"""Exact inference for known poses: normal equations, solvers, samples, evidence."""
