"""How likely images are, given what is expected."""
