"""Which Kafka to use: `ACCORD_KAFKA=embedded|testcontainers|host:port`, the same for the commands and the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from exchange.embedded.broker import EmbeddedKafka
from exchange.embedded.errors import EmbeddedError
from exchange.embedded.jars import Progress
from exchange.embedded.probe import cluster_at

T = TypeVar("T")
VARIABLE = "ACCORD_KAFKA"
EMBEDDED = "embedded"
TESTCONTAINERS = "testcontainers"
_IMAGE = "confluentinc/cp-kafka:8.0.0"


@contextmanager
def open_kafka(
    choice: str,
    data: Path,
    progress: Progress | None = None,
    *,
    train: bool = True,
    light: bool = False,
    notices: list[str] | None = None,
) -> Iterator[str]:
    """A running broker for the block, given as its bootstrap address "host:port".

    `data` is the folder of the embedded broker, kept; the other choices do not touch it. `train`, `light` and `notices` as in `EmbeddedKafka`.
    Errors: those of `EmbeddedKafka.start`, and no_docker, unreachable, unknown_choice.
    """
    if choice == EMBEDDED:
        with EmbeddedKafka(data, progress=progress, train=train, light=light) as broker:
            (notices if notices is not None else []).extend(broker.notices)
            yield broker.bootstrap
    elif choice == TESTCONTAINERS:
        with _container() as address:
            yield address
    else:
        yield _answering(choice)


@asynccontextmanager
async def beside(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A context that blocks (a download, a broker's start), entered and left beside the event loop."""
    value = await asyncio.to_thread(manager.__enter__)
    try:
        yield value
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def _answering(choice: str) -> str:
    host, _, port = choice.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise EmbeddedError("unknown_choice", choice=choice)
    if cluster_at(host.strip("[]"), int(port), timeout_s=5.0) is None:
        raise EmbeddedError("unreachable", address=choice)
    return choice


@contextmanager
def _container() -> Iterator[str]:
    try:
        docker = import_module("docker")  # untyped
        from testcontainers.community.kafka import KafkaContainer
    except ImportError as error:
        raise EmbeddedError("no_docker", detail=error) from error
    try:
        container = KafkaContainer(_IMAGE).with_kraft()
        container.with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        container.with_env("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000")
        container.start()
    except docker.errors.DockerException as error:
        raise EmbeddedError("no_docker", detail=type(error).__name__) from error
    try:
        yield container.get_bootstrap_server()
    finally:
        container.stop()
