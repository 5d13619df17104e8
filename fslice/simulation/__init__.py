"""Simulated particles with known truth: models, phantoms, poses, noise."""
