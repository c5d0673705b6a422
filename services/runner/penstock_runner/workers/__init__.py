"""Worker processes: where user code lives. What `child` imports runs inside them; the rest is the runner's side."""
