"""How far topics and consumer groups have come, asked of a real broker by somebody in no group."""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from exchange.adapters.kafka import KafkaView, security
from exchange.ports import Unavailable

GROUPS = "accord."
"""How the names of the agents' groups begin."""


class Progress(NamedTuple):
    """`written`: where topics end, their partitions added up. `behind`: records a group has yet to read, by group and topic."""

    written: Mapping[str, int]
    behind: Mapping[tuple[str, str], int]


class KafkaProgress:
    """Asks one broker; connects at the first asking, and again after a failure."""

    def __init__(self, bootstrap: str, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._bootstrap, self._ssl = bootstrap, ssl_context
        self._open: tuple[AsyncExitStack, KafkaView, AIOKafkaAdminClient] | None = None

    async def progress(self) -> Progress:
        """Now. Raises `Unavailable`."""
        try:
            return await self._ask()
        except (KafkaError, OSError, Unavailable) as error:
            await self.close()
            raise Unavailable(type(error).__name__) from None

    async def close(self) -> None:
        if self._open is not None:
            held, self._open = self._open, None
            await held[0].aclose()

    async def _ask(self) -> Progress:
        view, admin = await self._connected()
        topics = await view.topics()
        ends = await view.end_offsets((topic, n) for topic, count in topics.items() for n in range(count))
        written, behind = defaultdict[str, int](int), defaultdict[tuple[str, str], int](int)
        for (topic, _), end in ends.items():
            written[topic] += end
        for group, *_ in await admin.list_consumer_groups():
            if group.startswith(GROUPS):
                for place, at in (await admin.list_consumer_group_offsets(group)).items():
                    behind[group, place.topic] += max(0, ends.get((place.topic, place.partition), 0) - at.offset)
        return Progress(written, behind)

    async def _connected(self) -> tuple[KafkaView, AIOKafkaAdminClient]:
        if self._open is None:
            stack = AsyncExitStack()
            view = await stack.enter_async_context(KafkaView(self._bootstrap, ssl_context=self._ssl))
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, **security(self._ssl))
            stack.push_async_callback(admin.close)
            await admin.start()
            self._open = stack, view, admin
        return self._open[1:]
