"""Measurements of the running node: `samwise bench node` and `samwise bench endurance`."""
