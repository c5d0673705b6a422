"""How many examples a property is tried with: few in every run of the tests, many in `make fuzz`."""

import os

FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))
"""`make fuzz` sets it."""


def examples(number: int) -> int:
    return number * FACTOR
