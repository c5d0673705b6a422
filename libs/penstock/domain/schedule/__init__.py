"""Schedules: when ticks are, what becomes of each, and why. Pure; the clock is an argument."""
