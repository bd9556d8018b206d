"""The vectors published for other clients are right by a computation that uses nothing of ours."""

from __future__ import annotations

import hashlib
import struct
from unicodedata import normalize

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
