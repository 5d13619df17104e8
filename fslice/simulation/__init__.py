"""Simulated particles with known truth: models, phantoms, poses, noise."""

from fslice.simulation.draws import random_ctf
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.models import resample_map, symmetrized_model
from fslice.simulation.particles import Simulation, simulate
from fslice.simulation.phantoms import phantom

__all__ = [
    "GaussianModel",
    "Simulation",
    "phantom",
    "random_ctf",
    "resample_map",
    "simulate",
    "symmetrized_model",
]
