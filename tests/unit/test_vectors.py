"""The vectors published for other clients are right by a computation that uses nothing of ours."""

from __future__ import annotations

import hashlib
import struct
from unicodedata import normalize

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from exchange.reference.vectors import OPERATOR, PEOPLE, document


def joined(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def test_made_with_nothing_of_ours() -> None:
    """Protocol §5 and §6: C over label, salt and canonical identity; D over label, operator, authorisation, request and the ask's hash."""
    told = document()
    for each, who in zip(told["identities"], PEOPLE.values(), strict=True):
        canonical, salt = bytes.fromhex(each["canonical"]), bytes.fromhex(each["salt"])
        assert each["commitment"] == hashlib.sha256(joined(b"accord.subject.v1", salt, canonical)).hexdigest()
        assert joined(normalize("NFC", who.nom_naissance).encode()) in canonical
    asked = told["request"]
    ask = hashlib.sha256(bytes.fromhex(asked["ask"])).digest()
    ids = [bytes.fromhex(asked[name]) for name in ("authorisation", "request")]
    digest = hashlib.sha256(joined(b"accord.request.v1", OPERATOR.encode(), *ids, ask)).digest()
    assert (asked["ask_hash"], asked["digest"]) == (ask.hex(), digest.hex())
    assert bytes.fromhex(asked["identity_info"]).endswith(digest)


def parts(data: bytes) -> list[bytes]:
    found = list[bytes]()
    while data:
        (size,) = struct.unpack_from(">I", data)
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def test_an_answer_is_read_with_nothing_of_ours() -> None:
    """Protocol §5 and ADR 0044: T over what an answer is bound to; inside, the signature over T and what was said, or over the root of the tree it
    is a leaf of, and the way there."""
    told = document()["answers"]
    one = {name: bytes.fromhex(told[name]) for name in told if name not in ("scopes", "deadline_ms")}
    context = [
        bytes.fromhex(document()["request"]["digest"]),
        *(one[n] for n in ("certificate_hash", "recipient_key", "schema_hash")),
    ]
    scopes, deadline = joined(*(scope.encode() for scope in told["scopes"])), struct.pack(">Q", told["deadline_ms"])
    t = hashlib.sha256(joined(b"accord.answer.v1", *context, scopes, one["rule_hash"], deadline)).digest()
    assert (one["transcript"], one["inner_info"]) == (t, joined(b"accord.inner.v1", t))
    connector = Ed25519PublicKey.from_public_bytes(one["connector"])
    signature, padded = parts(one["inside_alone"])
    connector.verify(signature, joined(b"accord.signed.v1", t, padded))
    assert padded == one["said"] + b"\x80" + bytes(1_024 - len(one["said"]) - 1)
    signature, padded, way = parts(one["inside_third_of_three"])
    leaf = hashlib.sha256(b"\0" + joined(b"accord.signed-leaf.v1", t, padded.rstrip(b"\0")[:-1])).digest()
    place, size, before = *struct.unpack(">II", way[:8]), way[8:]
    assert (place, size, len(before)) == (2, 3, 32)
    root = hashlib.sha256(b"\1" + before + leaf).digest()
    connector.verify(signature, joined(b"accord.signed-root.v1", struct.pack(">I", size), root))
