"""Worker processes: where user code lives. `child` and what it imports run inside them; the rest is the runner's side."""
