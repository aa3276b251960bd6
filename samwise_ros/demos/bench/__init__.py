"""Measurements of the running node, and of what brings it images: `samwise bench`."""
