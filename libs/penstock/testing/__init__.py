"""The test kit for function authors and for ourselves."""
