"""Results that can be believed: masks, corrected FSC, local resolution, views, and checks."""
