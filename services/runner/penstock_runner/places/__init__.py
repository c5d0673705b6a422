"""Where attempts run: worker processes for Python, and what stands in for them for functions that are none."""
