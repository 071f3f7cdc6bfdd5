"""Evaluates tracks against ground truth: files, metrics, tables and plots."""
