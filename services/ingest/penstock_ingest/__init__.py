"""Ingest: the doors by which events and calls come in and become executions."""
