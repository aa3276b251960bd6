"""Programs keep freed memory; see samwise_ros/allocator.py."""

import subprocess
import sys

SCRIPT = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from samwise_ros.allocator import keep_freed_memory
    assert keep_freed_memory()
np.ones(16 * 2**20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(16 * 2**20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    """Minor page faults of twenty arrays of 16 MiB made one after the other in a new process."""
    run = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True,
                         timeout=60, check=True)
    return int(run.stdout)


def test_freed_memory_is_reused_without_page_faults() -> None:
    assert page_faults("keep") < 1000  # one array has 4096 pages
