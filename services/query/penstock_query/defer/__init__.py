"""What Defer's clients read: what they may ask, and how it is found in the view and in the log."""
