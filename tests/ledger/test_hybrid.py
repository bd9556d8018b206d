"""Authorisation keys of both suites, X25519 and ML-KEM-768 with X25519, side by side."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from consent import certificates
from consent.core.facts import Answer, DeadLetter
from consent.keys import KeyRing, ephemeral
from consent.stores import tables as t
from exchange import suites
from exchange.core.errors import Code
from exchange.core.sealing import HYBRID, PUBLIC_BYTES, X25519, Context, transcript
from exchange.hpke import KeyPair
from exchange.introduction import terms
from exchange.sealing import AnswerKeys, SealedAnswer, Unopenable, open_inner, open_outer, public_bytes, seal_answer
from exchange.testing import START_MS, MemoryBus
from tests.properties.strategies import CONTEXTS
from tests.world import JEANNE, RECIPIENT, ScriptedApi, World

SUITES = (X25519, HYBRID)
HALF = PUBLIC_BYTES[HYBRID] - PUBLIC_BYTES[X25519]
SIGNING, TO = Ed25519PrivateKey.generate(), KeyPair.generate()
PAIRS = {suite: suites.generate(suite) for suite in SUITES}


def keys_of(suite: str) -> AnswerKeys:
    return AnswerKeys(TO.public, PAIRS[suite][1], SIGNING, bytes(32), suite)


def private_of(suite: str) -> suites.PrivateKey:
    return suites.private_key(suite, PAIRS[suite][0])


@pytest.mark.parametrize("suite", SUITES)
async def test_a_whole_exchange_with_each_suite(suite: str) -> None:
    """From the request to the opened answer, over the bus; certificate and store name the suite."""
    async with MemoryBus(ScriptedApi(), keys=ephemeral("accord.test/memory", suite=suite)) as bus:
        consent = await bus.give(JEANNE)
        request = await bus.sdk.request("cnaf.quotient-familial.v1", consent=consent, purpose="tarification-cantine")
        answer = await request.answer()
        capsule = bus.wallet.capsule(consent)
        assert capsule is not None
        certificate = certificates.read(capsule.certificate, public_bytes(bus.keys.certificate))
    assert answer.status == "found"
    assert (certificate.suite, len(certificate.public_key)) == (suite, PUBLIC_BYTES[suite])


async def test_both_suites_in_one_ledger(world: World) -> None:
    """The setting is changed and the ledger restarted: agreements of before go on with their keys, new ones have the other suite;
    one chunk releases both, one rotation moves both, and a narrowing changes to the new suite."""
    old = await world.give()
    world.keys = under(world.keys, suite=HYBRID)
    world.restart()
    new = await world.give()
    assert [world.certificate(a).suite for a in (old, new)] == [X25519, HYBRID]
    answers = [(await world.answered(a))[1] for a in (old, new)]
    assert await world.ledger.rotate(now=True) == 2
    results = await world.release(*answers)
    assert [getattr(r, "delivery", "") for r in results] == ["key", "key"]
    with world.engine.begin() as connection:
        c = t.release_key.c
        held = {row.authorisation: row.suite for row in connection.execute(select(c.authorisation, c.suite))}
    assert held == {old: X25519, new: HYBRID}
    narrowed = await world.ledger.narrow(old, ("cnaf_quotient_familial",), world.wallet.operator)
    world.wallet.keep(old, narrowed.capsule)
    assert world.certificate(old).suite == HYBRID
    assert (await world.told((await world.answered(old))[1])).delivery == "key"


def under(ring: KeyRing, **changes: Any) -> KeyRing:
    """The same ring under other settings."""
    return KeyRing(**{name: getattr(ring, name) for name in ring.__dataclass_fields__} | changes)


async def test_an_answer_sealed_in_another_suite_is_a_dead_letter(world: World) -> None:
    """Tagged as it should be, sealed to the X25519 half of a hybrid key, or to the hybrid key cut short: nothing opens."""
    world.keys = under(world.keys, suite=HYBRID)
    world.restart()
    asked, honest = await world.answered(await world.give())
    public = asked.certificate.public_key
    for claimed, key in ((X25519, public[HALF:]), (X25519, public[:32])):
        keys = AnswerKeys(world.wallet.private.public, key, world.connector.signing, world.connector.mac, claimed)
        sealed = seal_answer(world.context(asked), b"found", keys)
        (result,) = await world.release(moved(honest, sealed))
        assert result == DeadLetter(Code.BAD_SEAL)
    assert (await world.told(honest)).code == "released"


def moved(answer: Answer, sealed: SealedAnswer) -> Answer:
    """The same answer under another seal."""
    return msgspec.structs.replace(answer, tag=sealed.tag, sealed_key=sealed.sealed_key, outer=sealed.outer)


async def test_a_suite_altered_in_the_store_opens_nothing(world: World) -> None:
    """The wrapped key is bound to its suite: such an answer is refused, the ledger goes on."""
    _, answer = await world.answered(await world.give())
    with world.engine.begin() as connection:
        connection.execute(t.release_key.update().values(suite=HYBRID))
    told = await world.told(answer)
    assert (told.code, told.reason) == ("refused", "certificate_outdated")


@pytest.mark.parametrize(
    ("suite", "size_bytes"), [("x25519", 1_216), (HYBRID, 32), (HYBRID, 1_215), ("rot13", 32), ("", 32)]
)
def test_a_certificate_of_an_unknown_suite_or_size_is_none(suite: str, size_bytes: int) -> None:
    """Even signed by the ledger: a connector seals to nothing it does not know."""
    key = Ed25519PrivateKey.generate()
    signed = certificates.issue(
        "o", bytes(16), 1, bytes(size_bytes), terms(RECIPIENT, START_MS), bytes(32), 0, key, suite
    )
    with pytest.raises(certificates.BadCertificate, match="suite"):
        certificates.read(signed, public_bytes(key))


@pytest.mark.parametrize("suite", SUITES)
def test_raw_keys_come_back(suite: str) -> None:
    """Private and public halves have one size each, and belong together; two are never the same."""
    private, public = suites.generate(suite)
    assert (len(private), len(public)) == ({X25519: 64, HYBRID: 96}[suite], PUBLIC_BYTES[suite])
    sealed = suites.encrypt(suite, public, b"plain", b"info")
    assert suites.decrypt(suites.private_key(suite, private), sealed, b"info") == b"plain"
    assert suites.generate(suite) != (private, public)
    for wrong in (private[:-1], private + b"\0", b""):
        with pytest.raises(ValueError):
            suites.private_key(suite, wrong)
    for wrong in (public[:-1], public + b"\0", b""):
        with pytest.raises(ValueError):
            suites.encrypt(suite, wrong, b"plain", b"info")


@settings(max_examples=30, deadline=None)
@given(CONTEXTS, CONTEXTS, st.sampled_from(SUITES), st.binary(max_size=2_000))
def test_each_suite_binds_the_whole_context(context: Context, other: Context, suite: str, plain: bytes) -> None:
    """It opens in its own context, and in no other, whichever field differs."""
    assume(context != other)
    sealed = seal_answer(context, plain, keys_of(suite))
    inner = open_outer(transcript(context), sealed, private_of(suite))
    assert open_inner(context, inner, TO, public_bytes(SIGNING)) == plain
    with pytest.raises(Unopenable, match="^message key$"):
        open_outer(transcript(other), sealed, private_of(suite))


CONTEXT = Context(bytes(32), bytes(32), bytes(16), bytes(32), ("quotient",), bytes(32), 1)
CHANGES: dict[str, Any] = {
    "digest": b"d" * 32, "certificate_hash": b"c" * 32, "recipient_key": b"k" * 16, "schema_hash": b"s" * 32, "scopes": ("other",),
    "rule_hash": b"r" * 32, "deadline_ms": 2,
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize("suite", SUITES)
def test_each_field_is_bound_in_each_suite(suite: str, field: str) -> None:
    """One field changed, the rest the same: the message key does not open."""
    sealed = seal_answer(CONTEXT, b"found", keys_of(suite))
    assert set(CHANGES) == set(CONTEXT.__struct_fields__)
    with pytest.raises(Unopenable, match="^message key$"):
        open_outer(transcript(msgspec.structs.replace(CONTEXT, **{field: CHANGES[field]})), sealed, private_of(suite))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SUITES), st.data())
def test_no_changed_byte_of_a_sealed_key_opens(suite: str, data: st.DataObject) -> None:
    """A flip, a cut or an addition, in either half."""
    sealed = seal_answer(CONTEXT, b"found", keys_of(suite))
    at = data.draw(st.integers(0, len(sealed.sealed_key) - 1))
    flip = bytes([sealed.sealed_key[at] ^ data.draw(st.integers(1, 255))])
    whole = sealed.sealed_key
    for changed in (whole[:at] + flip + whole[at + 1 :], whole[:at], whole + b"\0"):
        with pytest.raises(Unopenable):
            open_outer(transcript(CONTEXT), SealedAnswer(sealed.tag, changed, sealed.outer), private_of(suite))


def test_suites_are_apart() -> None:
    """What is sealed in one does not open in the other, nor with half of a hybrid key."""
    seed, curve = PAIRS[HYBRID][0][:64], PAIRS[HYBRID][0][64:]
    other_seed, other_curve = suites.generate(HYBRID)[0][:64], os.urandom(32)
    hybrid = seal_answer(CONTEXT, b"found", keys_of(HYBRID))
    for private in (
        private_of(X25519), suites.private_key(X25519, curve), suites.private_key(HYBRID, seed + other_curve),
        suites.private_key(HYBRID, other_seed + curve),
    ):  # fmt: skip
        with pytest.raises(Unopenable):
            open_outer(transcript(CONTEXT), hybrid, private)
    with pytest.raises(Unopenable):
        open_outer(transcript(CONTEXT), seal_answer(CONTEXT, b"found", keys_of(X25519)), private_of(HYBRID))
    assert open_outer(transcript(CONTEXT), hybrid, private_of(HYBRID))
