"""What every seal binds: the layout of protocol §5, without any cryptography of its own.

- D, the request's digest, names operator, authorisation, request and ask; the identity's ciphertext stays out, so that an
  honest retry, sealed afresh, is the same request.
- T, the answer's transcript, adds certificate, recipient key, schema, effective scopes, rule and deadline. The ledger, the
  connector and the collectivity each rebuild it from what they know; a seal made under another T does not open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from exchange.core.encoding import digest, join, strings

NO_RULE = bytes(32)
"""Stands in T for the hash of the rule where the data themselves are the answer."""
PADDING_BYTES = 1024
_REQUEST = b"accord.request.v1"
_SIZE_BYTES, _HASH_BYTES = 4, 32

X25519, HYBRID = "x25519", "mlkem768-x25519"
PUBLIC_BYTES = {X25519: 32, HYBRID: 1_184 + 32}
"""The suites of an authorisation's key, and the size of its public half."""


class Context(msgspec.Struct, frozen=True, array_like=True):
    """Everything an answer is bound to. Digests are 32 bytes, ids 16; `deadline_ms` since 1970 UTC; scopes sorted; `rule_hash` is
    `NO_RULE` for data."""

    digest: bytes
    certificate_hash: bytes
    recipient_key: bytes
    schema_hash: bytes
    scopes: tuple[str, ...]
    rule_hash: bytes
    deadline_ms: int


def request_digest(operator: str, authorisation: bytes, request: bytes, ask_hash: bytes) -> bytes:
    """D."""
    return digest(_REQUEST, operator.encode(), authorisation, request, ask_hash)


def request_digests(operator: str, asked: Iterable[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    """D of many: of each its authorisation, its request's id and its ask's hash. What they have alike is laid out once."""
    before = join(_REQUEST, operator.encode())
    return [hashlib.sha256(before + join(*each)).digest() for each in asked]


@lru_cache(maxsize=8192)
def transcript(context: Context) -> bytes:
    """T; kept a while: who signs and seals asks for it twice, and so does who verifies and opens."""
    return digest(
        b"accord.answer.v1",
        context.digest,
        context.certificate_hash,
        context.recipient_key,
        context.schema_hash,
        strings(context.scopes),
        context.rule_hash,
        context.deadline_ms.to_bytes(8, "big"),
    )


def bound_rule(rule_hash: bytes) -> bytes:
    """The rule as T has it; `rule_hash` is empty without one."""
    return rule_hash or NO_RULE


def effective_scopes(asked: Iterable[str], granted: Iterable[str]) -> tuple[str, ...]:
    """Ask ∩ certificate, sorted: neither side alone opens a field."""
    return tuple(sorted(set(asked) & set(granted)))


def key_id(public_key: bytes) -> bytes:
    """The first 16 bytes of a public key's SHA-256."""
    return hashlib.sha256(public_key).digest()[:16]


@lru_cache(maxsize=4096)
def ask_hash(ask: bytes) -> bytes:
    return hashlib.sha256(ask).digest()


def answer_digest(tag: bytes, sealed_key: bytes, outer: bytes) -> bytes:
    """Tells two sealed answers of one request apart."""
    return digest(b"accord.sealed.v1", tag, sealed_key, outer)


def pad(data: bytes, beside_bytes: int = 0) -> bytes:
    """To the next multiple of 1,024 bytes (ISO/IEC 7816-4), with so many beside it: found and not found look alike."""
    return data + b"\x80" + bytes(-(len(data) + 1 + beside_bytes) % PADDING_BYTES)


def unpad(data: bytes) -> bytes:
    """What was padded; ValueError if it was not."""
    stripped = data.rstrip(b"\0")
    if not stripped.endswith(b"\x80"):
        raise ValueError("not padded")
    return stripped[:-1]


def identity_info(request: bytes) -> bytes:
    """HPKE info of the sealed identity, bound to D."""
    return join(b"accord.identity.v1", request)


def inner_info(t: bytes) -> bytes:
    return join(b"accord.inner.v1", t)


def outer_aad(t: bytes) -> bytes:
    return join(b"accord.outer.v1", t)


def release_info(t: bytes, outer: bytes) -> bytes:
    return join(b"accord.release.v1", t, hashlib.sha256(outer).digest())


def tag_bytes(t: bytes, outer: bytes, sealed_key: bytes) -> bytes:
    """What the connector–ledger MAC covers."""
    return join(b"accord.mac.v1", t, outer, sealed_key)


def signed_bytes(t: bytes, padded: bytes) -> bytes:
    """What the connector signs inside, for the collectivity."""
    return join(b"accord.signed.v1", t, padded)


def signed_leaf(t: bytes, plain: bytes) -> bytes:
    """The same of one answer among several: a leaf of the tree whose root is signed."""
    return join(b"accord.signed-leaf.v1", t, plain)


def signed_root(size: int, root: bytes) -> bytes:
    """What is signed of several: how many leaves, and the root of their tree (RFC 6962 §2.1)."""
    return join(b"accord.signed-root.v1", size.to_bytes(_SIZE_BYTES, "big"), root)


def way(place: int, size: int, path: Sequence[bytes]) -> bytes:
    """From the leaf at `place` of `size` to the root."""
    return b"".join((place.to_bytes(_SIZE_BYTES, "big"), size.to_bytes(_SIZE_BYTES, "big"), *path))


def read_way(data: bytes) -> tuple[int, int, list[bytes]]:
    """Place, size and path; whether it leads anywhere is for `consent.core.merkle` to say."""
    place, size = (int.from_bytes(data[at : at + _SIZE_BYTES], "big") for at in (0, _SIZE_BYTES))
    return place, size, [data[at : at + _HASH_BYTES] for at in range(2 * _SIZE_BYTES, len(data), _HASH_BYTES)]


def certificate_bytes(certificate: bytes) -> bytes:
    return join(b"accord.certificate.v1", certificate)


def act_info(act: bytes) -> bytes:
    """HPKE info of whom an act is about, bound to the digest of the act."""
    return join(b"accord.whom.v1", act)


def capsule_info(recipient: str, authorisation: bytes) -> bytes:
    return join(b"accord.capsule.v1", recipient.encode(), authorisation)
