"""The limit: records read and written again as they are, with nothing else. `python -m bench.echo BOOTSTRAP SOURCE SINK GROUP`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from exchange.stopping import long_lived


async def echo(bootstrap: str, source: str, sink: str, group: str) -> None:
    """The fastest form with aiokafka: whole chunks in, whole batches out, acks=all and idempotent like the gate; no commits."""
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5, max_batch_size=1 << 20
    )
    long_lived()  # as the gate's own process
    await producer.start()  # first: the clock starts when the consumer has its partitions
    await consumer.start()
    while True:
        for place, records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).items():
            await _forward(producer, records, sink, place.partition)


async def _forward(producer: Any, records: Sequence[Any], sink: str, partition: int) -> None:
    batch = producer.create_batch()
    for record in records:
        key, value, headers = record.key, record.value, list(record.headers)
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
            batch.close()
            await producer.send_batch(batch, sink, partition=partition)
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None, headers=headers)
    batch.close()
    await producer.send_batch(batch, sink, partition=partition)


if __name__ == "__main__":
    asyncio.run(echo(*sys.argv[1:]))
