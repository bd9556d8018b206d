"""What the HTTP door says of an operator's outcomes when the broker has let go of the oldest."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from exchange.adapters.kafka import KafkaOutbox, KafkaReader, create_topics
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.ports import Message
from portal.api.feeds import Feed, Lapsed

OPERATOR = "552100554"


async def test_what_the_broker_no_longer_keeps(kafka: str) -> None:
    """A cursor before the oldest kept has lapsed, also in a partition that holds nothing any more; one at it, or after, goes on; the oldest
    kept of each partition is told where a cursor names none."""
    outcomes = topics.outcomes(OPERATOR)
    await create_topics(kafka, topics.specs([OPERATOR], [], partitions=3, cluster=False))
    async with KafkaOutbox(kafka) as outbox:
        for partition, count in ((0, 5), (1, 5)):
            await outbox.send({(outcomes, partition): [Message(bytes(16), b"x", [])] * count})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    gone = {TopicPartition(outcomes, 0): RecordsToDelete(3), TopicPartition(outcomes, 1): RecordsToDelete(5)}
    await admin.delete_records(gone)
    await admin.close()
    feed = Feed(lambda topic, at: KafkaReader(kafka, topic, at), SystemClock(), OPERATOR, asyncio.Event())
    try:
        assert await feed.placed({}) == {0: 3, 1: 5, 2: 0}
        assert await feed.placed({0: 4, 1: 5, 2: 0}) == {0: 4, 1: 5, 2: 0}
        assert await feed._oldest_of_topic() == {0: 3}
        for offsets in ({0: 2}, {0: 3, 1: 4}, {0: 0, 1: 5, 2: 0}):
            with pytest.raises(Lapsed):
                await feed.placed(offsets)
    finally:
        await feed.close()
