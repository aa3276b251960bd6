"""Keep freed memory in the process instead of giving it back to the system after every operation.

glibc maps each large block anew and unmaps it when it is freed, so every big intermediate result on
the CPU pays for thousands of page faults (docs/performance.md says how much that costs).
Programs call this at their start (the `samwise` command, the node); importing the library does not.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory of any size. Peak memory is the same, but stays allocated.

    Returns:
        False where the C library is not glibc; nothing has changed then.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT))
