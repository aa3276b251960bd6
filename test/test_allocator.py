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


THREADS = """
import re, threading
from pathlib import Path
from samwise_ros.allocator import keep_freed_memory
import numpy as np
assert keep_freed_memory()
stop = threading.Event()
idle = [threading.Thread(target=stop.wait) for _ in range(150)]  # more than there are arenas
for thread in idle:
    thread.start()

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) >> 10

def work():
    np.ones(16 * 2**20, np.uint8)

for index in range(24):
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    if index == 3:
        before = resident()
print(resident() - before)
stop.set()
"""


def test_threads_one_after_the_other_share_what_is_kept() -> None:
    run = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True,
                         timeout=60, check=True)
    assert int(run.stdout) < 40  # MiB; an arena each would be 16 MiB for each thread


GIVEN_BACK = """
import re
from pathlib import Path
from samwise_ros.allocator import give_back_freed_memory, keep_freed_memory
import numpy as np
assert keep_freed_memory()

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) >> 10

before = resident()
np.ones(64 * 2**20, np.uint8)
kept = resident() - before
assert give_back_freed_memory()
print(kept, resident() - before)
"""


def test_what_is_kept_can_be_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True,
                         timeout=60, check=True)
    kept, left = map(int, run.stdout.split())
    assert kept > 55 and left < 8  # MiB, of an array of 64
