"""What Defer's clients expect, in pure functions: states, shapes, ids of attempts, words of errors."""
