"""How the node is doing: counts, latencies, ~/status, /diagnostics; what topics look like."""
