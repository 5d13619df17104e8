"""Ways from a data set to a posterior."""
