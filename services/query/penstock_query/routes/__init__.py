"""The addresses that answer reads."""
