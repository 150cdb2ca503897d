"""How this process gives memory back."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Final

import pyarrow as pa

_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 1024 * 1024


def give_back_large_blocks() -> None:
    """Have blocks of a mebibyte and more go back to the system as soon as they are free.

    Left alone, glibc begins to keep such blocks once some were freed, in each of many arenas: after a flood of large
    requests that is several times what they took at once. Arrow's own allocator keeps them too, some 50 MB, so Arrow
    asks the system instead. Elsewhere nothing happens.
    """
    if sys.platform == "linux":
        pa.set_memory_pool(pa.system_memory_pool())
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
