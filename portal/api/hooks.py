"""Where webhooks are kept: an address, a secret, how far its events were delivered, and what each delivery came to."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from consent.keys import sources
from portal.core.hooks import SECRET_BYTES, Standing
from portal.store import metadata

KEPT_MS = 7 * 86_400_000
"""How long deliveries are listed."""

webhook = Table(
    "webhook", metadata, Column("id", String(32), primary_key=True), Column("operator", String(9), nullable=False),
    Column("url", String(2048), nullable=False), Column("secret", LargeBinary, nullable=False), Column("offsets", String, nullable=False),
    Column("failures", Integer, nullable=False), Column("next_ms", BigInteger, nullable=False), Column("paused", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)  # fmt: skip
alerted = Table(
    "webhook_alert",
    metadata,
    Column("webhook", String(32), primary_key=True),
    Column("url", String(2048), nullable=False),
)
"""Whom to tell, at another address, that a webhook was paused."""
delivery = Table(
    "delivery", metadata, Column("number", Integer, primary_key=True, autoincrement=True), Column("id", String(32), nullable=False),
    Column("webhook", String(32), nullable=False), Column("type", String(64), nullable=False), Column("body", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False), Column("tries", Integer, nullable=False), Column("status", Integer, nullable=False),
    Column("delivered", Boolean, nullable=False), Column("tried_ms", BigInteger, nullable=False),
    Index("delivery_of", "webhook", "number"), Index("delivery_id", "id", unique=True),
)  # fmt: skip
"""`status`: the last HTTP status, 0 where there was none."""


class Hook(NamedTuple):
    """One webhook of an operator. `secret` is sealed; `offsets`: what follows is yet to be delivered; `alert`: the address told of a pause,
    empty for none."""

    id: str
    operator: str
    url: str
    secret: bytes
    offsets: dict[int, int]
    standing: Standing
    at_ms: int
    alert: str = ""


class Delivery(NamedTuple):
    """One event on its way, or there."""

    number: int
    id: str
    webhook: str
    type: str
    body: bytes
    at_ms: int
    tries: int
    status: int
    delivered: bool
    tried_ms: int


def seal(key: bytes, hook: str, secret: bytes) -> bytes:
    """A secret as it lies in the store."""
    return sources.seal(AESGCM(key), os.urandom(sources.NONCE_BYTES), secret, hook.encode())


def unseal(key: bytes, hook: Hook) -> bytes:
    return sources.unseal(AESGCM(key), hook.secret, hook.id.encode())


def new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def add(store: Engine, hook: Hook) -> None:
    values = {"id": hook.id, "operator": hook.operator, "url": hook.url, "secret": hook.secret, "offsets": _text(hook.offsets),
              "at_ms": hook.at_ms} | hook.standing._asdict()  # fmt: skip
    with store.begin() as connection:
        connection.execute(insert(webhook).values(values))
        if hook.alert:
            connection.execute(insert(alerted).values(webhook=hook.id, url=hook.alert))


def remove(store: Engine, id: str) -> None:
    """With its deliveries."""
    with store.begin() as connection:
        connection.execute(delete(webhook).where(webhook.c.id == id))
        connection.execute(delete(delivery).where(delivery.c.webhook == id))
        connection.execute(delete(alerted).where(alerted.c.webhook == id))


def every(store: Engine, operator: str = "") -> list[Hook]:
    """Those of an operator, or all, oldest first."""
    both = webhook.outerjoin(alerted, alerted.c.webhook == webhook.c.id)
    query = select(webhook, alerted.c.url.label("alert")).select_from(both).order_by(webhook.c.at_ms, webhook.c.id)
    with store.connect().execution_options(reading=True) as connection:
        rows = connection.execute(query.where(webhook.c.operator == operator) if operator else query)
        return [
            Hook(
                r.id, r.operator, r.url, r.secret, {int(p): o for p, o in json.loads(r.offsets).items()},
                Standing(r.failures, r.next_ms, r.paused), r.at_ms, r.alert or "",
            )
            for r in rows
        ]  # fmt: skip


def find(store: Engine, operator: str, id: str) -> Hook | None:
    """One of an operator's."""
    return next((hook for hook in every(store, operator) if hook.id == id), None)


def stand(store: Engine, id: str, standing: Standing, offsets: dict[int, int] | None = None) -> None:
    """Where a webhook is now, and how far."""
    values = standing._asdict() | ({} if offsets is None else {"offsets": _text(offsets)})
    with store.begin() as connection:
        connection.execute(update(webhook).where(webhook.c.id == id).values(values))


def note(store: Engine, one: Delivery) -> None:
    """What a delivery came to; what is a week old is forgotten."""
    values = {name: value for name, value in one._asdict().items() if name != "number"}
    with store.begin() as connection:
        connection.execute(delete(delivery).where(delivery.c.at_ms < one.tried_ms - KEPT_MS))
        if not connection.execute(update(delivery).where(delivery.c.id == one.id).values(values)).rowcount:
            connection.execute(insert(delivery).values(values))


def deliveries(store: Engine, hook: str, before: int, limit: int) -> list[Delivery]:
    """The latest first; `before` a number, 0 for all."""
    d = delivery.c
    query = select(delivery).where(d.webhook == hook).order_by(d.number.desc()).limit(limit)
    with store.connect().execution_options(reading=True) as connection:
        return [Delivery(*row) for row in connection.execute(query.where(d.number < before) if before else query)]


def delivery_of(store: Engine, hook: str, id: str) -> Delivery | None:
    query = select(delivery).where(delivery.c.webhook == hook, delivery.c.id == id)
    with store.connect().execution_options(reading=True) as connection:
        row = connection.execute(query).first()
    return Delivery(*row) if row else None


def _text(offsets: dict[int, int]) -> str:
    return json.dumps({str(partition): offset for partition, offset in offsets.items()})
