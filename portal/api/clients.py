"""Programs that may call the HTTP API: registered by the operator of the bus, each for one operator (SIREN), with a public key."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key
from sqlalchemy import BigInteger, Column, Engine, String, Table, delete, insert, select

from portal.store import metadata

client = Table(
    "client", metadata, Column("id", String(64), primary_key=True), Column("operator", String(9), nullable=False),
    Column("jwk", String(4096), nullable=False), Column("thumbprint", String(64), nullable=False), Column("at_ms", BigInteger, nullable=False),
)  # fmt: skip


class BadKey(ValueError):
    """Not a public key that may prove a client: P-256, Ed25519, or RSA of 2048 bits at least, without its private half."""


class Client(NamedTuple):
    """A program. `thumbprint` (SHA-256 of its certificate, hexadecimal): it calls by mutual TLS with that certificate only; empty: with or without."""

    id: str
    operator: str
    jwk: str
    thumbprint: str
    at_ms: int


def public_key(text: str) -> dict[str, Any]:
    """The public JWK in a JSON text (RFC 7517); BadKey."""
    try:
        jwk = json.loads(text)
        key = import_key(jwk)
    except (ValueError, TypeError, KeyError, AttributeError, JoseError):
        raise BadKey from None
    if not isinstance(jwk, dict) or "d" in jwk or not _strong(key):
        raise BadKey
    return dict(key.as_dict(private=False))


def _strong(key: Key) -> bool:
    if isinstance(key, RSAKey):
        return key.raw_value.key_size >= 2048
    return (isinstance(key, ECKey) and key.curve_name == "P-256") or (
        isinstance(key, OKPKey) and key.as_dict().get("crv") == "Ed25519"
    )


def client_of(name: str, operator: str, jwk: dict[str, Any], thumbprint: str, now_ms: int) -> Client:
    """A client that is registered now."""
    return Client(name, operator, json.dumps(jwk), thumbprint, now_ms)


def add(store: Engine, one: Client) -> None:
    """Registered; one of the same name is replaced, and its tokens end with their time."""
    with store.begin() as connection:
        connection.execute(delete(client).where(client.c.id == one.id))
        connection.execute(insert(client).values(one._asdict()))


def remove(store: Engine, name: str) -> bool:
    """No longer registered: its tokens are good for nothing from now on."""
    with store.begin() as connection:
        return bool(connection.execute(delete(client).where(client.c.id == name)).rowcount)


def find(store: Engine, name: str) -> Client | None:
    with store.connect().execution_options(reading=True) as connection:
        row = connection.execute(select(client).where(client.c.id == name)).first()
    return Client(*row) if row else None


def every(store: Engine) -> list[Client]:
    """By name."""
    with store.connect().execution_options(reading=True) as connection:
        return [Client(*row) for row in connection.execute(select(client).order_by(client.c.id))]
