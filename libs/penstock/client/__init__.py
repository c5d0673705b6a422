"""Penstock from any Python program, over HTTP."""
