"""Seals under any context: they open in their own, and in no other."""

from __future__ import annotations

import os

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exchange.core.encoding import join
from exchange.core.identity import commitment
from exchange.core.sealing import (
    PADDING_BYTES,
    Context,
    effective_scopes,
    inner_info,
    pad,
    request_digest,
    transcript,
    unpad,
)
from exchange.hpke import KeyPair
from exchange.mac import keyed
from exchange.sealing import (  # fmt: skip
    AnswerKeys,
    SealedAnswer,
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
from tests.properties.strategies import CONTEXTS, HASHES, IDS

AUTHORISATION, RECIPIENT, PROVIDER = (KeyPair.generate() for _ in range(3))
SIGNING, MAC = Ed25519PrivateKey.generate(), os.urandom(32)
KEYS = AnswerKeys(RECIPIENT.public, AUTHORISATION.public, SIGNING, MAC)


@given(st.binary(max_size=5_000))
def test_padding_comes_off(data: bytes) -> None:
    """Whatever its last bytes, what was padded comes back; its length is a multiple of 1,024."""
    assert unpad(pad(data)) == data
    assert len(pad(data)) % PADDING_BYTES == 0 and len(pad(data)) > len(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_padded_or_refused(data: bytes) -> None:
    """Unpadding gives a shorter text or a ValueError."""
    try:
        assert data.startswith(unpad(data) + b"\x80")
    except ValueError:
        assert not data.rstrip(b"\0").endswith(b"\x80")


@given(CONTEXTS, CONTEXTS)
def test_two_contexts_never_share_a_transcript(one: Context, other: Context) -> None:
    """T is equal exactly when every field is."""
    assert (transcript(one) == transcript(other)) == (one == other)


@given(st.text(max_size=9), IDS, IDS, HASHES, st.text(max_size=9), IDS, IDS, HASHES)
def test_two_requests_never_share_a_digest(
    operator: str, a: bytes, r: bytes, ask: bytes, operator2: str, a2: bytes, r2: bytes, ask2: bytes
) -> None:
    """D is equal exactly when operator, authorisation, request and ask are."""
    one, other = (operator, a, r, ask), (operator2, a2, r2, ask2)
    assert (request_digest(*one) == request_digest(*other)) == (one == other)


@settings(max_examples=40)
@given(CONTEXTS, st.binary(max_size=3_000))
def test_an_answer_opens_in_its_own_context(context: Context, plain: bytes) -> None:
    """Tag, outer and inner open one after the other, and give what was sealed."""
    sealed = seal_answer(context, plain, KEYS)
    check_tag(transcript(context), sealed, keyed(MAC))
    inner = open_outer(transcript(context), sealed, AUTHORISATION)
    assert open_inner(context, inner, RECIPIENT, public_bytes(SIGNING)) == plain


@settings(max_examples=40)
@given(CONTEXTS, CONTEXTS)
def test_an_answer_opens_in_no_other_context(context: Context, other: Context) -> None:
    """Each of the three seals on its own refuses any other context."""
    assume(context != other)
    sealed = seal_answer(context, b"found", KEYS)
    with pytest.raises(Unopenable, match="^tag$"):
        check_tag(transcript(other), sealed, keyed(MAC))
    with pytest.raises(Unopenable, match="^message key$"):
        open_outer(transcript(other), sealed, AUTHORISATION)
    inner = open_outer(transcript(context), sealed, AUTHORISATION)
    with pytest.raises(Unopenable, match="^inner$"):
        open_inner(other, inner, RECIPIENT, public_bytes(SIGNING))


SEALED_IN = Context(bytes(32), bytes(32), bytes(16), bytes(32), ("quotient",), bytes(32), 1)
SEALED = seal_answer(SEALED_IN, b"found", KEYS)


@given(st.sampled_from(["tag", "sealed_key", "outer"]), st.data())
def test_no_changed_byte_is_accepted(part: str, data: st.DataObject) -> None:
    """A flip, cut or addition anywhere in a sealed answer is refused by the tag; past the tag, by the seal itself."""
    whole = getattr(SEALED, part)
    at = data.draw(st.integers(0, len(whole) - 1))
    flip = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    for changed in (whole[:at] + flip + whole[at + 1 :], whole[:at], whole + b"\0"):
        parts = {"tag": SEALED.tag, "sealed_key": SEALED.sealed_key, "outer": SEALED.outer, part: changed}
        with pytest.raises(Unopenable):
            check_tag(transcript(SEALED_IN), SealedAnswer(**parts), keyed(MAC))
        if part != "tag":
            with pytest.raises(Unopenable):
                open_outer(transcript(SEALED_IN), SealedAnswer(**parts), AUTHORISATION)


@given(st.binary(max_size=200))
def test_any_bytes_are_unopenable_and_nothing_worse(data: bytes) -> None:
    """Whatever lies on a topic, opening it raises Unopenable."""
    for rubbish in (
        SealedAnswer(data, data, data),
        SealedAnswer(SEALED.tag, SEALED.sealed_key, data),
        SealedAnswer(SEALED.tag, data, SEALED.outer),
    ):
        with pytest.raises(Unopenable):
            check_tag(transcript(SEALED_IN), rubbish, keyed(MAC))
        with pytest.raises(Unopenable):
            open_outer(transcript(SEALED_IN), rubbish, AUTHORISATION)
    with pytest.raises(Unopenable):
        open_inner(SEALED_IN, data, RECIPIENT, public_bytes(SIGNING))
    with pytest.raises(Unopenable):
        open_identity(PROVIDER, bytes(32), data, bytes(32))


@given(st.one_of(st.binary(max_size=200), st.lists(st.binary(max_size=80), max_size=4).map(lambda parts: join(*parts))))
def test_whatever_a_connector_seals_is_an_answer_or_unopenable(inside: bytes) -> None:
    """Any bytes inside the inner seal, in any number of parts: Unopenable and nothing worse."""
    inner = seal(KEYS.recipient_public, inside, inner_info(transcript(SEALED_IN)))
    with pytest.raises(Unopenable, match="^inner$"):
        open_inner(SEALED_IN, inner, RECIPIENT, public_bytes(SIGNING))


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=1_500), min_size=1, max_size=70))
def test_each_of_what_is_said_together_opens(said: list[bytes]) -> None:
    """However many, and whatever their sizes."""
    contexts = [msgspec.structs.replace(SEALED_IN, digest=n.to_bytes(32)) for n in range(len(said))]
    signed = sign_answers(list(zip(contexts, said, strict=True)), SIGNING)
    for context, plain, each in list(zip(contexts, said, signed, strict=True))[:: max(1, len(said) // 5)]:
        inner = seal(KEYS.recipient_public, each, inner_info(transcript(context)))
        assert open_inner(context, inner, RECIPIENT, public_bytes(SIGNING)) == plain


@settings(max_examples=40)
@given(HASHES, HASHES, st.binary(max_size=100), st.binary(max_size=100))
def test_an_identity_opens_for_its_request_and_its_person_only(
    digest: bytes, other: bytes, identity: bytes, somebody: bytes
) -> None:
    """Under another D it does not open; under another commitment it is somebody else."""
    salt = bytes(range(32))
    sealed = seal_identity(PROVIDER.public, digest, salt, identity)
    assert open_identity(PROVIDER, digest, sealed, commitment(salt, identity)) == identity
    if other != digest:
        with pytest.raises(Unopenable):
            open_identity(PROVIDER, other, sealed, commitment(salt, identity))
    if somebody != identity:
        with pytest.raises(Unopenable):
            open_identity(PROVIDER, digest, sealed, commitment(salt, somebody))


@given(st.lists(st.text(max_size=4)), st.lists(st.text(max_size=4)))
def test_effective_scopes_are_both_sides_and_sorted(asked: list[str], granted: list[str]) -> None:
    """Neither the ask nor the certificate alone opens a field."""
    found = effective_scopes(asked, granted)
    assert set(found) == set(asked) & set(granted) and list(found) == sorted(set(found))
