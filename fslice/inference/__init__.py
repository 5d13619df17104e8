"""Fitting posteriors over the volume: data sets, the evidence lower bound, stochastic steps."""
