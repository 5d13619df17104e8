"""Point groups: their rotations, and the average of a volume over them."""
