"""Faust as a team writes it: an agent that decodes each request and forwards it. `python -m bench.peers_faust BOOTSTRAP SOURCE SINK GROUP`.

Its own transport, producer and defaults, at least once, acks=all; the same strict decode as the gate's. No decision is taken.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import faust

from exchange.schemas import catalogue


def app(bootstrap: str, source: str, sink: str, group: str, folder: str) -> faust.App:
    """Ready to run; `folder` is where Faust keeps its own things."""
    made = faust.App(
        group, broker=f"kafka://{bootstrap}", store="memory://", datadir=folder, consumer_auto_offset_reset="earliest",
        topic_disable_leader=True, web_enabled=False, producer_acks=-1,
    )  # fmt: skip
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "value_serializer": "raw"}
    requests, copies = made.topic(source, **raw), made.topic(sink, **raw)
    codec, prefix = catalogue().codec("exchange-request"), catalogue().prefix("exchange-request")

    @made.agent(requests)
    async def forward(stream: Any) -> None:
        async for event in stream.events():
            codec.decode(event.value.removeprefix(prefix))
            await event.forward(copies)

    return made


if __name__ == "__main__":
    bootstrap, source, sink, group = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="accord-bench-faust-") as folder:
        faust.Worker(app(bootstrap, source, sink, group, folder), loglevel="WARNING").execute_from_commandline()
