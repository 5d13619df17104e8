"""Particle images with what is known of them, and the one pass over them."""
