"""Parameters of all nodes: declared as a dataclass, read and judged in one way."""
