"""One raw hop: records read, and as many of a given size written, with nothing else.
`python -m bench.peers.hop BOOTSTRAP SOURCE SINK SIZE_BYTES`."""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from exchange.stopping import long_lived

ID_BYTES = 8
"""What a record keeps on its way; the rest is filling."""


async def hop(bootstrap: str, source: str, sink: str, size_bytes: int) -> None:
    """acks=all and idempotent, nothing waited for on the way, offsets committed aside: the quickest of aiokafka."""
    consumer = AIOKafkaConsumer(
        source, bootstrap_servers=bootstrap, group_id=f"hop.{source}", auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    filling = bytes(size_bytes - ID_BYTES)
    long_lived()
    await producer.start()
    await consumer.start()
    while True:
        for place, records in (await consumer.getmany(timeout_ms=1000)).items():
            batch = producer.create_batch()
            for record in records:
                value = record.value[:ID_BYTES] + filling
                if batch.append(key=None, value=value, timestamp=None) is None:
                    batch.close()
                    await producer.send_batch(batch, sink, partition=place.partition)
                    batch = producer.create_batch()
                    batch.append(key=None, value=value, timestamp=None)
            batch.close()
            await producer.send_batch(batch, sink, partition=place.partition)


if __name__ == "__main__":
    asyncio.run(hop(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
