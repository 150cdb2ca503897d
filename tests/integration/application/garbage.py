"""Garbage that is surely collected, whatever other threads do."""

from __future__ import annotations

import gc
import threading


def collect() -> None:
    """Collect all garbage. `gc.collect` alone returns at once, nothing done, while another thread is collecting."""
    this_thread, collected = threading.get_ident(), threading.Event()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2 and threading.get_ident() == this_thread:
            collected.set()

    gc.callbacks.append(note)
    try:
        while not collected.is_set():
            gc.collect()
    finally:
        gc.callbacks.remove(note)
