"""What reaches the ledger sealed: whom an act is about, and an identity provider's word, past doors that must not see them."""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consent import certificates
from consent.core.facts import DirectoryEntry, Evidence, Terms
from consent.core.sealed import Whom, act_digest, joined
from consent.keys import KeyRing
from exchange.core.errors import Code
from exchange.core.identity import BadIdentity, read
from exchange.core.sealing import act_info, unpad
from exchange.hpke import KeyPair
from exchange.ports import Refused
from exchange.sealing import Unopenable, unseal

KEY_LIFE_MS = 90 * 86_400_000


def private(keys: KeyRing) -> KeyPair:
    """Of the certificate key: whoever pins that one knows whose this is, and both are replaced together."""
    secret = keys.secrets["certificate.key"]
    return KeyPair.of(HKDF(SHA256(), 32, None, b"accord.intake.v1").derive(secret))


def entry(keys: KeyRing, now_ms: int) -> DirectoryEntry:
    """The ledger's public key as a directory tells one: signed by the certificate key, countersigned by the registrar. It is no leaf."""
    public = private(keys).public
    own = certificates.enrol("ledger", keys.origin, "", public, now_ms + KEY_LIFE_MS, keys.certificate)
    return certificates.countersign(own, keys.registrar)


def opened(
    keys: KeyRing, authorisation: bytes, terms: Terms, sealed: bytes, evidence: Evidence, operator: str
) -> tuple[bytes, Evidence]:
    """The canonical identity an act is about, and the whole evidence. `Refused`: `identity_unopenable` unless it was sealed to this
    ledger, for this very act; `bad_identity` where it designates nobody."""
    info = act_info(act_digest(operator, authorisation, terms, evidence))
    try:
        told = msgspec.json.decode(unpad(unseal(private(keys), sealed, info, "act")), type=Whom)
        read(told.identity)
    except BadIdentity:
        raise Refused(Code.BAD_IDENTITY) from None
    except (Unopenable, ValueError, msgspec.MsgspecError):
        raise Refused(Code.IDENTITY_UNOPENABLE) from None
    return told.identity, joined(evidence, told)
