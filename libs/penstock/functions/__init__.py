"""The SDK: how user code is declared, called and run."""
