"""The query service: projects the log into SQL and answers every read."""
