"""The doors of Defer's API through which something is written."""
