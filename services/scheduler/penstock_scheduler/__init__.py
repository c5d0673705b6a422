"""The scheduler: wakes what is due and repairs what was lost. It is not on the path of a plain execution."""
