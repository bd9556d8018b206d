"""What is sealed to the ledger opens for it alone, for one act alone, and becomes what it would have been in clear."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from consent import certificates, intake
from consent.core.facts import Evidence, Representation, Terms, Tokens
from consent.core.sealed import Whom, act_digest, joined, nameless, whom
from consent.keys import ephemeral
from exchange.core.encoding import join
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.core.sealing import act_info, pad
from exchange.hpke import KeyPair
from exchange.introduction import terms as usual
from exchange.known_keys import KnownKeys
from exchange.ports import Refused
from exchange.recording import sealed_whom
from exchange.sealing import public_bytes, seal
from exchange.trust import Trust
from tests.world import JEANNE, OPERATOR, PAUL, RECIPIENT, START_MS, World

AT = os.urandom(16)
TERMS = usual(RECIPIENT, START_MS)
SAID = Evidence(
    "online", assurance="eidas2", representation=Representation("parent", canonical(PAUL), b"t" * 32),
    tokens=Tokens("a.b.c", "d.e.f", b"r" * 32),
)  # fmt: skip


async def sealed(world: World, evidence: Evidence = SAID, **changes: Any) -> bytes:
    act: dict[str, Any] = {"authorisation": AT, "terms": TERMS, "identity": canonical(JEANNE), "operator": OPERATOR}
    return sealed_whom(await world.ledger.intake(), evidence=evidence, **act | changes)


def opened(world: World, box: bytes, **changes: Any) -> tuple[bytes, Evidence]:
    act: dict[str, Any] = {
        "authorisation": AT,
        "terms": TERMS,
        "evidence": nameless(SAID),
        "operator": OPERATOR,
    } | changes
    return intake.opened(world.keys, sealed=box, **act)


def unopened(world: World, box: bytes, **changes: Any) -> Code:
    with pytest.raises(Refused) as refused:
        opened(world, box, **changes)
    return refused.value.code


async def test_what_was_sealed_is_what_is_recorded(world: World) -> None:
    """Both halves come together again as they were; the sealed one's size says nothing of a short name or a long one."""
    assert opened(world, await sealed(world)) == (canonical(JEANNE), SAID)
    sizes = {len(await sealed(world, identity=canonical(who))) for who in (JEANNE, PAUL)}
    assert len(sizes) == 1


def _changed(name: str) -> Terms:
    held = getattr(TERMS, name)
    other: Any = {str: "x", int: 7, bytes: b"x" * 32, tuple: ("x",)}[type(held)]
    return msgspec.structs.replace(TERMS, **{name: other})


ACTS: dict[str, dict[str, Any]] = {
    "another agreement": {"authorisation": bytes(16)},
    "another operator": {"operator": "200054781"},
    "another channel": {"evidence": Evidence("paper", assurance="eidas2")},
    "another agent": {"evidence": Evidence("online", "agent-7", assurance="eidas2")},
    "another proof": {"evidence": Evidence("online", "", b"e" * 32, "eidas2")},
    "another level": {"evidence": Evidence("online", assurance="eidas3")},
} | {f"other {name}": {"terms": _changed(name)} for name in TERMS.__struct_fields__}


@pytest.mark.parametrize("act", sorted(ACTS))
async def test_it_opens_for_its_own_act_alone(world: World, act: str) -> None:
    """Carried to another agreement, operator or term, or said to be collected otherwise, it does not open."""
    assert unopened(world, await sealed(world), **ACTS[act]) is Code.IDENTITY_UNOPENABLE


async def test_another_ledgers_seal_does_not_open(world: World) -> None:
    """Sealed to another key, altered, cut short or empty: the same refusal."""
    other = intake.entry(ephemeral("accord.test/else"), START_MS)
    good = await sealed(world)
    elsewhere = sealed_whom(other, AT, TERMS, canonical(JEANNE), SAID, OPERATOR)
    for box in (elsewhere, good[:-1] + bytes([good[-1] ^ 1]), good[:40], b""):
        assert unopened(world, box) is Code.IDENTITY_UNOPENABLE


async def test_what_is_in_it_is_read_strictly(world: World) -> None:
    """No padding, no JSON, a name it has not, an identity that designates nobody: refused, nothing recorded."""
    own, info = await world.ledger.intake(), act_info(act_digest(OPERATOR, AT, TERMS, nameless(SAID)))
    known = msgspec.json.encode(Whom(canonical(JEANNE)))
    for plain, code in (
        (known, Code.IDENTITY_UNOPENABLE),
        (pad(b"{"), Code.IDENTITY_UNOPENABLE),
        (pad(known[:-1] + b',"else":1}'), Code.IDENTITY_UNOPENABLE),
        (pad(msgspec.json.encode(Whom(join(b"MARTIN")))), Code.BAD_IDENTITY),
    ):
        assert unopened(world, seal(own.public_key, plain, info)) is code
    assert await world.ledger.lookup([AT]) == [None]


async def test_a_parent_on_paper_is_recorded_as_in_clear(world: World) -> None:
    """Through the ledger's own door: the same capsule, the same refusals."""
    said = Evidence("online")
    grant = await world.ledger.grant_sealed(AT, TERMS, await sealed(world, said), said, OPERATOR)
    world.wallet.keep(AT, grant.capsule)
    capsule = world.wallet.capsule(AT)
    assert capsule is not None and capsule.identity == canonical(JEANNE)
    again = await world.ledger.grant_sealed(AT, TERMS, await sealed(world, said), said, OPERATOR)
    assert again.certificate == grant.certificate
    with pytest.raises(Refused, match=Code.CONFLICT):
        await world.ledger.grant_sealed(AT, TERMS, await sealed(world, said, identity=canonical(PAUL)), said, OPERATOR)


async def test_the_key_is_the_one_whose_signature_is_pinned(world: World) -> None:
    """It outlives a restart; an application takes none that another certificate key signed, under whatever name; nobody enters one."""
    first = await world.ledger.intake()
    world.restart()
    assert (await world.ledger.intake()).public_key == first.public_key
    keys = world.keys
    trust = Trust(keys.verifier, public_bytes(keys.certificate), public_bytes(keys.registrar))
    assert await KnownKeys(world.ledger, trust, world.clock).intake() == await world.ledger.intake()
    theirs = Ed25519PrivateKey.generate()
    public = KeyPair.generate().public
    forged = certificates.enrol("ledger", keys.origin, "", public, first.not_after_ms, theirs)
    with pytest.raises(Refused, match=Code.CERTIFICATE_INVALID):
        await world.ledger.enter(forged)

    class Lying:
        def __init__(self, entry: Any) -> None:
            self.entry = entry

        async def intake(self) -> Any:
            return self.entry

    named_else = certificates.enrol("ledger", "accord.test/else", "", public, first.not_after_ms, keys.certificate)
    for entry in (forged, named_else):
        lying: Any = Lying(certificates.countersign(entry, keys.registrar))
        with pytest.raises(certificates.BadCertificate):
            await KnownKeys(lying, trust, world.clock).intake()


@given(st.binary(max_size=40), st.sampled_from(["online", "phone"]), st.booleans(), st.booleans())
def test_no_half_loses_anything(identity: bytes, channel: Any, spoken: bool, vouched: bool) -> None:
    """What names somebody and what does not make the whole again, and the half in clear names nobody."""
    said = Evidence(
        channel, "agent", b"e" * 32, "eidas1", SAID.representation if spoken else None, SAID.tokens if vouched else None
    )
    told = msgspec.json.decode(msgspec.json.encode(whom(identity, said)), type=Whom)
    assert (told.identity, joined(nameless(said), told)) == (identity, said)
    assert canonical(PAUL) not in msgspec.json.encode(nameless(said))
