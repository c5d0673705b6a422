"""The benchmark: the whole product beside the raw bound, in one run on one machine."""
