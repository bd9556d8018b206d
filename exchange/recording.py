"""What an application has the ledger record: an agreement it wants, one that was given, refused or withdrawn, a legal basis. Whom it is about is
sealed here, to the ledger, so that no door between reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from consent.core.facts import Acknowledgement, DirectoryEntry, Evidence, Grant, Terms
from consent.core.sealed import act_digest, nameless, whom
from exchange import outcomes
from exchange.core.identity import Identity, canonical
from exchange.core.sealing import act_info, pad
from exchange.ports import Refused
from exchange.sealing import seal

if TYPE_CHECKING:
    from exchange.sdk import Bus

ONLINE = Evidence("online")
"""The person's own act on a web page, or the collectivity's word where the law is the basis."""


async def want(bus: Bus, terms: Terms, authorisation: bytes, evidence: Evidence) -> bytes:
    """As `Bus.want`."""
    authorisation = authorisation or os.urandom(16)
    with _explained():
        await bus.ledger.request(authorisation, terms, evidence, bus.wallet.operator)
    return authorisation


async def record(bus: Bus, terms: Terms, identity: Identity, evidence: Evidence, authorisation: bytes) -> bytes:
    """As `Bus.record`."""
    authorisation, operator = authorisation or os.urandom(16), bus.wallet.operator
    with _explained():
        sealed = sealed_whom(await bus.keys.intake(), authorisation, terms, canonical(identity), evidence, operator)
        grant: Grant = await bus.ledger.grant_sealed(authorisation, terms, sealed, nameless(evidence), operator)
    bus.wallet.keep(authorisation, grant.capsule)
    return authorisation


async def refuse(bus: Bus, terms: Terms, authorisation: bytes, evidence: Evidence) -> None:
    """As `Bus.refuse`."""
    with _explained():
        await bus.ledger.refuse(authorisation, terms, evidence)


async def withdraw(bus: Bus, authorisation: bytes, happening: str) -> Acknowledgement:
    """As `Bus.withdraw`."""
    with _explained():
        return await bus.ledger.withdraw(authorisation, happening, ONLINE)


def sealed_whom(
    ledger: DirectoryEntry, authorisation: bytes, terms: Terms, identity: bytes, evidence: Evidence, operator: str
) -> bytes:
    """Whom this act is about, and their identity provider's word, sealed to the ledger's key for this act alone."""
    plain = pad(msgspec.json.encode(whom(identity, evidence)))
    return seal(ledger.public_key, plain, act_info(act_digest(operator, authorisation, terms, nameless(evidence))))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise outcomes.of(refused.code) from None
