"""Benchmarks: one command each, one JSON line per case."""
