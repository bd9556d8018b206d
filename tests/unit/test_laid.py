"""A message laid out at once is the message, laid out."""

from __future__ import annotations

import pytest

from exchange import wire
from exchange.core.batches import body

TRACE = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")]


@pytest.mark.parametrize("subject", ["exchange-request", "verdict"])
@pytest.mark.parametrize("event_id", ["0" * 32, "short", ""])
@pytest.mark.parametrize("extra", [[], TRACE])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 8_191, 8_192, 100_000])
def test_laid_out_at_once(subject: str, event_id: str, extra: list[tuple[str, bytes]], size: int) -> None:
    """With a trace and without, whatever its id and its size."""
    key, value = b"k" * 16, bytes(size)
    made = wire.message(subject, key, value, event_id, extra)
    assert wire.laid(subject, key, value, event_id, extra) == body(*made)
