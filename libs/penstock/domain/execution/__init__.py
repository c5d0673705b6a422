"""One execution: its facts, its state, and what may happen next."""
