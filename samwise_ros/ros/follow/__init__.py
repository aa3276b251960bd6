"""A base that follows a target: from its pose to velocities. A node of its own."""
