"""Spans, logs and metric names."""
