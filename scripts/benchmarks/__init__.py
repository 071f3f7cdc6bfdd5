"""Benchmarks and comparisons with other programs; run with scripts/benchmark.py."""
