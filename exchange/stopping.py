"""Ending well: SIGTERM and Ctrl-C are an event."""

from __future__ import annotations

import asyncio
import signal


def stopping() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    event = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, event.set)
    return event
