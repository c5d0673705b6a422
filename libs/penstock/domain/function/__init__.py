"""Functions as runners declare them: options, versions and event patterns."""
