"""Measures the speed of a run: latency of each stage, throughput, and GPU use."""
