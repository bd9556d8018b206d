"""Answers kept a day under their idempotency key, so that the same call made twice is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Response
from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, String, Table, delete, insert, select, update

from exchange.core.errors import Code
from portal.core.idempotency import KEPT_MS, Met, judge
from portal.core.problems import Problem
from portal.store import metadata

_HEADERS = ("location", "content-type", "preference-applied")

kept = Table(
    "kept", metadata, Column("client", String(64), primary_key=True), Column("key", String(255), primary_key=True),
    Column("digest", LargeBinary, nullable=False), Column("at_ms", BigInteger, nullable=False), Column("status", Integer, nullable=False),
    Column("headers", String, nullable=False), Column("body", LargeBinary, nullable=False),
)  # fmt: skip
"""`status` 0: its work goes on."""


async def once(
    store: Engine, client: str, key: str, digest: bytes, now_ms: int, work: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer of `work`, or of the same call made before. A `Problem` where the key served for another, or its work goes on."""
    fate = _begin(store, client, key, digest, now_ms)
    if isinstance(fate, Response):
        return fate
    try:
        response = await work()
    except BaseException:
        _forget(store, client, key)
        raise
    if response.status_code >= 400:
        _forget(store, client, key)
    else:
        _keep(store, client, key, response)
    return response


def _begin(store: Engine, client: str, key: str, digest: bytes, now_ms: int) -> Response | None:
    with store.begin() as connection:
        connection.execute(delete(kept).where(kept.c.at_ms <= now_ms - KEPT_MS))
        row = connection.execute(select(kept).where(kept.c.client == client, kept.c.key == key)).first()
        fate = judge(Met(row.digest, row.at_ms, row.status > 0) if row else None, digest, now_ms)
        if isinstance(fate, Code):
            raise Problem(fate, retry_in_s=1 if fate is Code.IN_FLIGHT else None)
        if fate == "repeat" and row is not None:
            return Response(row.body, row.status, dict(line.split(": ", 1) for line in row.headers.splitlines()))
        connection.execute(delete(kept).where(kept.c.client == client, kept.c.key == key))
        values = {
            "client": client,
            "key": key,
            "digest": digest,
            "at_ms": now_ms,
            "status": 0,
            "headers": "",
            "body": b"",
        }
        connection.execute(insert(kept).values(values))
    return None


def _keep(store: Engine, client: str, key: str, response: Response) -> None:
    headers = "\n".join(f"{name}: {response.headers[name]}" for name in _HEADERS if name in response.headers)
    values = {"status": response.status_code, "headers": headers, "body": bytes(response.body)}
    with store.begin() as connection:
        connection.execute(update(kept).where(kept.c.client == client, kept.c.key == key).values(values))


def _forget(store: Engine, client: str, key: str) -> None:
    with store.begin() as connection:
        connection.execute(delete(kept).where(kept.c.client == client, kept.c.key == key))
