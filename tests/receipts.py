"""Receipts to try things on: one life of an agreement, its receipt, and keys that verify it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent import heads, verify_receipt
from consent.core import cosignature, note, record
from consent.core.cosignature import Witness
from consent.core.facts import Evidence
from consent.core.record import Document, Party
from consent.transaction import reading
from consent.verify import Policy
from consent.verify_receipt import BadReceipt, Proven
from exchange.core.identity import canonical
from exchange.introduction import terms
from tests.world import JEANNE, OPERATOR, RECIPIENT, World

DAY_MS = 86_400_000
TOWN = Party(
    "Ville d'Aubagne", "Hôtel de ville, 13400 Aubagne", "dpo@aubagne.example", "https://aubagne.example/accords"
)
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
WITNESS = Witness("witness.test/w1", WITNESS_KEY.public_key().public_bytes_raw())
COUNTER = Evidence("counter", "agent-7", b"e" * 32, "eidas2")
NOTICE: dict[str, object] = {"notice_hash": bytes(range(32)), "notice_version": "2026-11"}


async def give(world: World, evidence: Evidence = COUNTER, **changes: object) -> bytes:
    """An agreement given at the counter, with a notice; its id."""
    agreed = terms(RECIPIENT, world.clock.now_ms(), **NOTICE | changes)
    authorisation = world.keys.entropy(16)
    await world.ledger.grant(authorisation, agreed, canonical(JEANNE), evidence, OPERATOR)
    return authorisation


async def lived(world: World) -> bytes:
    """Given, narrowed a day later, used once, withdrawn after a month."""
    world.ledger.parties = {RECIPIENT: TOWN}
    authorisation = await give(world)
    world.clock.advance(DAY_MS)
    await world.ledger.narrow(authorisation, ("cnaf_enfants", "cnaf_quotient_familial"), OPERATOR)
    world.clock.advance(30 * DAY_MS)
    await world.ledger.withdraw(authorisation, "withdrawn")
    return authorisation


async def cosigned(world: World) -> None:
    """The log's head as it stands gets the witness's cosignature."""
    text = await world.ledger.checkpoint()
    with reading(world.engine) as connection:
        head = heads.last(connection)
    assert head is not None
    line = cosignature.cosign(note.split(text)[0], WITNESS.name, WITNESS_KEY, now_s(world))
    await world.ledger.cosigned(head, [note.format_signature(line)])


def now_s(world: World) -> int:
    return world.clock.now_ms() // 1000


def policy(world: World, quorum: int = 0) -> Policy:
    return Policy(world.keys.verifier, (WITNESS,), quorum)


def proven(world: World, data: bytes, quorum: int = 0) -> Proven:
    return verify_receipt.verify(data, policy(world, quorum), now_s(world))


def holds(world: World, data: bytes) -> bool:
    """Whether these bytes verify; anything but BadReceipt would be a bug and comes through."""
    try:
        proven(world, data)
    except BadReceipt:
        return False
    return True


def resigned(world: World, text: str, change: Callable[[Document], Any]) -> bytes:
    """A receipt changed and signed again by the log's own key: what only a lying ledger can do."""
    document = copy.deepcopy(record.parse(text))
    del document["accord:proof"]["statement"]
    change(document)
    signed = note.sign(record.statement(world.keys.origin, document), world.keys.origin, world.keys.log)
    document["accord:proof"]["statement"] = signed
    return record.dump(document).encode()
