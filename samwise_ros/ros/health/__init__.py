"""How the node is doing: counts, latencies, ~/status and /diagnostics, and what topics look like."""
