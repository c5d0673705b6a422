"""The rules: pure functions over facts. No I/O, no clock, no randomness in here."""
