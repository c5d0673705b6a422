"""Requests that leave the house: signed, guarded, bounded, and never redirected."""
