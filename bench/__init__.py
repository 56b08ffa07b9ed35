"""Benchmarks: measured beside peers in one run, interleaved, medians, given as ratios. Never part of the tests."""
