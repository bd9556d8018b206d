"""Access tokens: given for a client's signed assertion (RFC 6749 §4.4, RFC 7523), good for ten minutes, bound to the certificate of the
connection that asked where there was one (RFC 8705). A token is 32 random bytes: the store holds its SHA-256 only."""

from __future__ import annotations

import json
import os
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import import_key
from sqlalchemy import BigInteger, Column, Engine, String, Table, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from portal.api import clients
from portal.api.clients import Client
from portal.core import assertions, strict_json
from portal.core.assertions import BadAssertion
from portal.store import metadata

LIFE_S = 600
ASSERTION_MAX_CHARS = 8192

token = Table(
    "token", metadata, Column("hash", String(64), primary_key=True), Column("client", String(64), nullable=False),
    Column("recipients", String, nullable=False), Column("thumbprint", String(64), nullable=False), Column("not_after_ms", BigInteger, nullable=False),
)  # fmt: skip
assertion = Table(
    "assertion", metadata, Column("hash", String(64), primary_key=True), Column("not_after_s", BigInteger, nullable=False)
)  # fmt: skip


_HELD = (
    select(token, clients.client.c.operator)
    .join(clients.client, token.c.client == clients.client.c.id)
    .where(token.c.hash == bindparam("of"), token.c.not_after_ms > bindparam("now_ms"))
)


class Caller(NamedTuple):
    """Who calls: a client, its operator (SIREN), the collectivities (SIRET) it has delegations of, until when."""

    client: str
    operator: str
    recipients: frozenset[str]
    not_after_ms: int


def proven(store: Engine, text: str, audiences: frozenset[str], thumbprint: str, now_ms: int) -> Client:
    """The client an assertion proves, once. BadAssertion for everything else, whatever it is."""
    signed = _extracted(text)
    named = signed.get("iss")
    one = clients.find(store, named) if isinstance(named, str) else None
    if one is None or (one.thumbprint and one.thumbprint != thumbprint):
        raise BadAssertion
    claims = _verified(text, json.loads(one.jwk))
    jti, until_s = assertions.checked(claims, one.id, audiences, now_ms // 1000)
    _once(store, one.id, jti, until_s + assertions.SKEW_S, now_ms)
    return one


def _extracted(text: str) -> Mapping[str, Any]:
    """What an assertion claims, not verified: only to know whose key to take."""
    if len(text) > ASSERTION_MAX_CHARS or text.count(".") != 2 or not text.isascii():
        raise BadAssertion  # neither a JWE, nor what is not a JWS at all
    try:
        return _claims(jws.extract_compact(text.encode()).payload)
    except (JoseError, ValueError, TypeError, KeyError):
        raise BadAssertion from None


def _verified(text: str, jwk: Mapping[str, Any]) -> Mapping[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # EdDSA's old name: clients still use it
        try:
            found = jws.deserialize_compact(text, import_key(dict(jwk)), algorithms=assertions.ALGORITHMS)
            return _claims(found.payload)
        except (JoseError, ValueError, TypeError, KeyError):
            raise BadAssertion from None


def _claims(payload: bytes | None) -> Mapping[str, Any]:
    claims = strict_json.read(payload or b"")
    if not isinstance(claims, dict):
        raise BadAssertion
    return claims


def _once(store: Engine, client: str, jti: str, until_s: int, now_ms: int) -> None:
    met = sha256(json.dumps([client, jti]).encode()).hexdigest()
    try:
        with store.begin() as connection:
            connection.execute(delete(assertion).where(assertion.c.not_after_s < now_ms // 1000))
            connection.execute(insert(assertion).values(hash=met, not_after_s=until_s))
    except IntegrityError:
        raise BadAssertion from None


def issue(store: Engine, one: Client, recipients: Sequence[str], thumbprint: str, now_ms: int) -> str:
    """A new token for a proven client."""
    text = urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    values = {"hash": _hash(text), "client": one.id, "recipients": json.dumps(sorted(recipients)), "thumbprint": thumbprint,
              "not_after_ms": now_ms + LIFE_S * 1000}  # fmt: skip
    with store.begin() as connection:
        connection.execute(delete(token).where(token.c.not_after_ms <= now_ms))
        connection.execute(insert(token).values(values))
    return text


def read(store: Engine, text: str, thumbprint: str, now_ms: int) -> Caller | None:
    """Who a token stands for; None where it is unknown, over, of a client that is no more, or bound to another certificate."""
    with store.connect().execution_options(reading=True) as connection:
        row = connection.execute(_HELD, {"of": _hash(text), "now_ms": now_ms}).first()
    if row is None or (row.thumbprint and row.thumbprint != thumbprint):
        return None
    return Caller(row.client, row.operator, frozenset(json.loads(row.recipients)), row.not_after_ms)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
