"""Maps from volumes to images: slices, shifts, CTF, projector, with adjoints and gradients."""
