"""The lifecycle node: cameras, their sessions, and the one thread that answers their frames."""
