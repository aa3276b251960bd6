"""Evaluation protocols and metrics of the benchmarks and of the simulated robot camera."""
