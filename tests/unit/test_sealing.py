"""What seals bind: answers swapped, fields changed, people mistaken (protocol §5 and §6)."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.core import merkle
from exchange.core import sealing
from exchange.core.encoding import join, split
from exchange.core.identity import Identity, canonical, commitment
from exchange.core.sealing import Context
from exchange.hpke import KeyPair
from exchange.mac import keyed
from exchange.sealing import (
    AnswerKeys,
    SealedAnswer,
    SubjectMismatch,
    Unopenable,
    check_tag,
    open_identity,
    open_inner,
    open_outer,
    public_bytes,
    seal,
    seal_answer,
    seal_identity,
    sign_answers,
)

OPERATOR, A, R, ASK = "211300553", b"a" * 16, b"r" * 16, b"k" * 32
AUTHORISATION, RECIPIENT, PROVIDER, OTHER = (KeyPair.generate() for _ in range(4))
SIGNING, MAC = Ed25519PrivateKey.generate(), os.urandom(32)
KEYS = AnswerKeys(RECIPIENT.public, AUTHORISATION.public, SIGNING, MAC)
CONTEXT = Context(
    sealing.request_digest(OPERATOR, A, R, ASK), b"c" * 32, sealing.key_id(KEYS.recipient_public), b"h" * 32,
    ("adresse", "quotient"), sealing.NO_RULE, 1_800_000_000_000,
)  # fmt: skip
JEANNE = canonical(Identity("MARTIN", prenoms=("Jeanne",), date_naissance="1980-01-02"))
PAUL = canonical(Identity("DURAND", prenoms=("Paul",), date_naissance="1979-11-30"))


def accepted_by_ledger(context: Context, sealed: SealedAnswer, authorisation: KeyPair = AUTHORISATION) -> bool:
    try:
        check_tag(sealing.transcript(context), sealed, keyed(MAC))
        open_outer(sealing.transcript(context), sealed, authorisation)
    except Unopenable:
        return False
    return True


def retagged(context: Context, sealed: SealedAnswer) -> SealedAnswer:
    """The same answer, tagged for another request by somebody who has the MAC key."""
    body = sealing.tag_bytes(sealing.transcript(context), sealed.outer, sealed.sealed_key)
    return SealedAnswer(hmac.digest(MAC, body, "sha256"), sealed.sealed_key, sealed.outer)


def test_answers_swapped_between_requests_are_never_accepted() -> None:
    """30 answers under each other's requests: 0 of 870 by the ledger, with their own tag or a forged one, 0 of 870 by the collectivity."""
    contexts = [
        msgspec.structs.replace(CONTEXT, digest=sealing.request_digest(OPERATOR, A, bytes([n]) * 16, ASK))
        for n in range(30)
    ]
    sealed = [seal_answer(c, b"answer %d" % n, KEYS) for n, c in enumerate(contexts)]
    inners = [open_outer(sealing.transcript(c), s, AUTHORISATION) for c, s in zip(contexts, sealed, strict=True)]
    accepted = forged = opened = 0
    for i, j in itertools.permutations(range(30), 2):
        accepted += accepted_by_ledger(contexts[i], sealed[j])
        forged += accepted_by_ledger(contexts[i], retagged(contexts[i], sealed[j]))
        try:
            open_inner(contexts[i], inners[j], RECIPIENT, public_bytes(SIGNING))
            opened += 1
        except Unopenable:
            pass
    assert (accepted, forged, opened) == (0, 0, 0)
    assert all(accepted_by_ledger(c, s) for c, s in zip(contexts, sealed, strict=True))


FIELDS: dict[str, dict[str, Any]] = {
    "operator": {"digest": sealing.request_digest("130025265", A, R, ASK)},
    "authorisation": {"digest": sealing.request_digest(OPERATOR, b"b" * 16, R, ASK)},
    "request": {"digest": sealing.request_digest(OPERATOR, A, b"s" * 16, ASK)},
    "ask": {"digest": sealing.request_digest(OPERATOR, A, R, b"l" * 32)},
    "certificate": {"certificate_hash": b"d" * 32},
    "recipient key": {"recipient_key": b"x" * 16},
    "schema": {"schema_hash": b"i" * 32},
    "scopes": {"scopes": ("quotient",)},
    "rule": {"rule_hash": b"r" * 32},
    "deadline": {"deadline_ms": CONTEXT.deadline_ms + 1},
}


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_of_the_context_is_bound(field: str) -> None:
    """One field changed: no tag, no key, no inner seal; a forged tag helps nobody."""
    other, sealed = msgspec.structs.replace(CONTEXT, **FIELDS[field]), seal_answer(CONTEXT, b"found", KEYS)
    assert not accepted_by_ledger(other, sealed)
    assert not accepted_by_ledger(other, retagged(other, sealed))
    inner = open_outer(sealing.transcript(CONTEXT), sealed, AUTHORISATION)
    with pytest.raises(Unopenable):
        open_inner(other, inner, RECIPIENT, public_bytes(SIGNING))


def test_no_other_key_opens() -> None:
    """Another MAC, authorisation, recipient or connector: refused, each by its own seal."""
    sealed = seal_answer(CONTEXT, b"found", KEYS)
    with pytest.raises(Unopenable, match="^tag$"):
        check_tag(sealing.transcript(CONTEXT), sealed, keyed(os.urandom(32)))
    with pytest.raises(Unopenable, match="^message key$"):
        open_outer(sealing.transcript(CONTEXT), sealed, OTHER)
    inner = open_outer(sealing.transcript(CONTEXT), sealed, AUTHORISATION)
    with pytest.raises(Unopenable, match="^inner$"):
        open_inner(CONTEXT, inner, OTHER, public_bytes(SIGNING))
    with pytest.raises(Unopenable, match="^inner$"):
        open_inner(CONTEXT, inner, RECIPIENT, public_bytes(Ed25519PrivateKey.generate()))


def test_the_outer_seal_is_bound_to_its_key() -> None:
    """The sealed key of one answer opens no other answer to the same request."""
    one, two = seal_answer(CONTEXT, b"one", KEYS), seal_answer(CONTEXT, b"two", KEYS)
    mixed = SealedAnswer(b"", one.sealed_key, two.outer)
    assert not accepted_by_ledger(CONTEXT, retagged(CONTEXT, mixed))


def test_nothing_opens_before_the_ledger_and_the_ledger_opens_no_answer() -> None:
    """The collectivity cannot open outer; what the ledger opens is still sealed to the collectivity."""
    sealed = seal_answer(CONTEXT, b"found", KEYS)
    for piece in (sealed.outer, sealed.sealed_key):
        with pytest.raises(Unopenable):
            open_inner(CONTEXT, piece, RECIPIENT, public_bytes(SIGNING))
    with pytest.raises(Unopenable):
        open_outer(sealing.transcript(CONTEXT), sealed, RECIPIENT)
    inner = open_outer(sealing.transcript(CONTEXT), sealed, AUTHORISATION)
    assert b"found" not in inner
    with pytest.raises(Unopenable):
        open_inner(CONTEXT, inner, AUTHORISATION, public_bytes(SIGNING))


def test_an_honest_retry_is_sealed_afresh_and_is_another_sealed_answer() -> None:
    """Two seals of one answer share no bytes and no digest, and both open."""
    one, two = seal_answer(CONTEXT, b"found", KEYS), seal_answer(CONTEXT, b"found", KEYS)
    assert {one.tag, one.sealed_key, one.outer}.isdisjoint({two.tag, two.sealed_key, two.outer})
    digests = {sealing.answer_digest(s.tag, s.sealed_key, s.outer) for s in (one, two)}
    assert len(digests) == 2 and all(accepted_by_ledger(CONTEXT, s) for s in (one, two))


def said_together(count: int) -> tuple[list[Context], list[bytes]]:
    """Contexts of so many requests, and what one connector says under them, signed at once."""
    contexts = [
        msgspec.structs.replace(CONTEXT, digest=sealing.request_digest(OPERATOR, A, n.to_bytes(16), ASK))
        for n in range(count)
    ]
    return contexts, sign_answers([(context, b"answer %d" % n) for n, context in enumerate(contexts)], SIGNING)


def opened(context: Context, signed: bytes, connector: Ed25519PrivateKey = SIGNING) -> bytes:
    inner = seal(KEYS.recipient_public, signed, sealing.inner_info(sealing.transcript(context)))
    return open_inner(context, inner, RECIPIENT, public_bytes(connector))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_said_together_each_opens_alone(count: int) -> None:
    """One signature for all; each shows by itself that the connector said it, under its own context and no other's."""
    contexts, signed = said_together(count)
    assert [opened(*pair) for pair in zip(contexts, signed, strict=True)] == [b"answer %d" % n for n in range(count)]
    assert len({split(each, 2, 3)[0] for each in signed}) == 1
    for context, each in zip(contexts, signed[1:], strict=False):
        with pytest.raises(Unopenable, match="^inner$"):
            opened(context, each)
    with pytest.raises(Unopenable, match="^inner$"):
        opened(contexts[0], signed[0], Ed25519PrivateKey.generate())


def test_what_was_not_said_together_does_not_pass_for_it() -> None:
    """Another answer, another way, no way, a way cut or made longer, the leaf signed as if it were a root: refused."""
    contexts, signed = said_together(5)
    signature, padded, way = split(signed[2], 3)
    leaf = merkle.leaf_hash(sealing.signed_leaf(sealing.transcript(contexts[2]), b"answer 2"))
    forged = [
        join(signature, sealing.pad(b"answer 3"), way),
        join(signature, padded, split(signed[1], 3)[2]),
        join(signature, padded),
        *(join(signature, padded, way[:cut]) for cut in (0, 1, 8, len(way) - 32, len(way) - 1)),
        join(signature, padded, way + bytes(32)),
        join(signature, padded, sealing.way(2, 6, sealing.read_way(way)[2])),
        join(SIGNING.sign(leaf), padded, sealing.way(0, 1, [])),
        join(signature, padded, way, b""),
    ]
    for each in forged:
        with pytest.raises(Unopenable, match="^inner$"):
            opened(contexts[2], each)
    assert opened(contexts[2], signed[2]) == b"answer 2"


def test_sha256_and_ed25519_alone_show_what_was_said_together() -> None:
    """An answer and its way to the root convince whoever has the connector's public key, with none of our code."""
    contexts, signed = said_together(2)
    signature, padded, way = split(signed[1], 3)
    said, number = padded.rstrip(b"\0")[:-1], lambda size: size.to_bytes(4, "big")
    part = lambda *parts: b"".join(number(len(each)) + each for each in parts)  # noqa: E731  # the layout of protocol §5, written again
    leaf = hashlib.sha256(b"\0" + part(b"accord.signed-leaf.v1", sealing.transcript(contexts[1]), said)).digest()
    assert way[:8] == number(1) + number(2)
    root = hashlib.sha256(b"\1" + way[8:] + leaf).digest()
    SIGNING.public_key().verify(signature, part(b"accord.signed-root.v1", number(2), root))


@pytest.mark.parametrize("size_bytes", [0, 1, 120, 700])
@pytest.mark.parametrize("count", [2, 5, 64])
def test_said_among_others_looks_like_said_alone(size_bytes: int, count: int) -> None:
    """Neither what an answer says nor among how many it was said shows in its size."""
    among, alone = (
        sign_answers([(CONTEXT, bytes(size_bytes))] * count, SIGNING),
        sign_answers([(CONTEXT, b"")], SIGNING),
    )
    assert {len(each) for each in among} == {len(alone[0])}


@pytest.mark.parametrize("size_bytes", [0, 1, 120, 900, 1_022])
def test_padding_hides_what_was_found(size_bytes: int) -> None:
    """Found, not found and refused have one size on every topic, up to a kibibyte."""
    sealed, empty = seal_answer(CONTEXT, bytes(size_bytes), KEYS), seal_answer(CONTEXT, b"", KEYS)
    assert [len(s) for s in (sealed.tag, sealed.sealed_key, sealed.outer)] == [
        len(s) for s in (empty.tag, empty.sealed_key, empty.outer)
    ]


def test_padding_is_one_bit_and_zeros() -> None:
    """ISO/IEC 7816-4, always at least one byte."""
    assert sealing.pad(b"") == b"\x80" + bytes(1023)
    assert len(sealing.pad(bytes(1023))) == 1024 and len(sealing.pad(bytes(1024))) == 2048
    for broken in (b"", bytes(1024), b"x" * 1024):
        with pytest.raises(ValueError, match="not padded"):
            sealing.unpad(broken)


SALT = os.urandom(32)
DIGEST = CONTEXT.digest


def test_the_right_person_is_accepted() -> None:
    """Identity and salt under their own request and commitment."""
    sealed = seal_identity(PROVIDER.public, DIGEST, SALT, JEANNE)
    assert open_identity(PROVIDER, DIGEST, sealed, commitment(SALT, JEANNE)) == JEANNE


@pytest.mark.parametrize(
    ("salt", "identity"),
    [
        (SALT, PAUL),
        (bytes(32), PAUL),
        (bytes(32), JEANNE),
        (SALT[:31], JEANNE),
        (SALT + b"\0", JEANNE),
        (b"", JEANNE),
        (SALT, b""),
    ],
    ids=["person", "both", "all-zero-salt", "short-salt", "long-salt", "no-salt", "nobody"],
)
def test_somebody_else_under_an_agreement_is_a_mismatch(salt: bytes, identity: bytes) -> None:
    """The attack of §6: whoever is sealed in, only the agreement's own person and salt match."""
    sealed = seal_identity(PROVIDER.public, DIGEST, salt, identity)
    with pytest.raises(SubjectMismatch):
        open_identity(PROVIDER, DIGEST, sealed, commitment(SALT, JEANNE))


def test_a_salt_of_another_size_is_a_mismatch_even_if_it_is_committed_to() -> None:
    """32 bytes, so that nobody borrows bytes between salt and identity."""
    sealed = seal_identity(PROVIDER.public, DIGEST, SALT[:31], JEANNE)
    with pytest.raises(SubjectMismatch):
        open_identity(PROVIDER, DIGEST, sealed, commitment(SALT[:31], JEANNE))


def test_an_identity_sealed_to_another_provider_or_request_does_not_open() -> None:
    """Not a mismatch: unopenable, nothing is learnt."""
    sealed = seal_identity(PROVIDER.public, DIGEST, SALT, JEANNE)
    for provider, digest in ((OTHER, DIGEST), (PROVIDER, bytes(32))):
        with pytest.raises(Unopenable) as refused:
            open_identity(provider, digest, sealed, commitment(SALT, JEANNE))
        assert not isinstance(refused.value, SubjectMismatch)


def test_labels_keep_seals_apart() -> None:
    """The same bytes in two roles are two things: no info or aad is another's."""
    t = sealing.transcript(CONTEXT)
    roles = [
        sealing.identity_info(t), sealing.inner_info(t), sealing.outer_aad(t), sealing.release_info(t, b""),
        sealing.tag_bytes(t, b"", b""), sealing.signed_bytes(t, b""), sealing.certificate_bytes(t),
        sealing.capsule_info("", t),
    ]  # fmt: skip
    assert len(set(roles)) == len(roles)


def test_digests_of_many_are_those_of_each() -> None:
    """Laid out at once or one by one, D is the same."""
    asked = [(bytes([n]) * 16, bytes([n + 1]) * 16, bytes([n + 2]) * 32) for n in range(5)]
    assert sealing.request_digests(OPERATOR, asked) == [sealing.request_digest(OPERATOR, *one) for one in asked]
