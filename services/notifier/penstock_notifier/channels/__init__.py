"""The ways out, one module each."""
