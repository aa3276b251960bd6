"""Keep freed memory in the process instead of giving it back to the system after every operation.

glibc maps each large block anew and unmaps it when it is freed, so every big intermediate result on
the CPU pays for thousands of page faults (docs/performance.md says how much that costs).
Programs call this at their start (the `samwise` command, the node); importing the library does not.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_LARGEST_INT = 2**31 - 1
# Each arena keeps what was freed in it. By default there are eight per core, and every new thread
# gets another one until all of them hold a frame's worth.
_ARENAS = 2


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory of any size. Peak memory is the same, but stays allocated.

    Returns:
        False where the C library is not glibc; nothing has changed then.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
                and mallopt(_M_ARENA_MAX, _ARENAS))


def give_back_freed_memory() -> bool:
    """Return what is free at this moment to the system, whatever `keep_freed_memory` said.

    For the moments after which less is needed, or the same in other pieces: a model was dropped, a
    camera has stopped. Otherwise the next model is laid out beside the holes that the last one
    left.

    Returns:
        False where the C library is not glibc, or nothing could be returned.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError, TypeError):
        return False
