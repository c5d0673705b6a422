"""The notifier: tells people and programs how executions ended, and sends their traces."""
