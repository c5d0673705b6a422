"""Applications that run on real input."""
