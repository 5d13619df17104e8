"""Tomography in Fourier space, with maps that know how sure they are."""
