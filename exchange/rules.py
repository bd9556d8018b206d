"""Signed rules: a rule's document in a C2SP signed note, by the registrar of the bus (`exchange.core.rule` says what a rule is).

The registrar already says who is who; here it says that a question is put in the words the citizen will read, and that answering it is
less than giving the data. Its signature is under a name of its own, `<log origin>/rules`, so that it stands for nothing else.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.core import note
from exchange.core import rule
from exchange.core.rule import BadRule, Rule
from exchange.schemas import UnknownSchema, catalogue

__all__ = ["SUFFIX", "BadRule", "Rule", "open_signed", "read", "scopes_of", "shipped", "sign", "unverified", "verifier"]
SUFFIX = ".rule"


def signer(origin: str) -> str:
    """The name a bus signs its rules under."""
    return f"{origin}/rules"


def verifier(origin: str, registrar: bytes) -> note.Verifier:
    """Who must have signed: the registrar (raw Ed25519) of the log of this origin."""
    return note.Verifier(signer(origin), registrar)


def read(text: str) -> Rule:
    """The rule of any JSON text, its fields found in its data set. BadRule."""
    return _fitted(rule.loads(text))


def sign(text: str, origin: str, registrar: Ed25519PrivateKey) -> bytes:
    """The signed rule; BadRule where it is none."""
    return note.sign(read(text).text, signer(origin), registrar).encode()


@lru_cache(maxsize=256)
def open_signed(signed: bytes, by: note.Verifier) -> Rule:
    """The rule of a signed note, once signature, grammar and fields hold. BadRule. Verified once per distinct value."""
    return _fitted(rule.parse(_text(signed, by)))


def unverified(signed: bytes) -> Rule:
    """The rule of a signed note whose signature the reader cannot or need not check: to show it. BadRule."""
    return _fitted(rule.parse(_text(signed, None)))


def scopes_of(asked: Rule) -> tuple[str, ...]:
    """The scopes that open what a rule reads; it was read or opened here."""
    return rule.scopes_read(asked, catalogue().codec_of_data_set(asked.data_set).schema)


def shipped() -> dict[str, str]:
    """The rules this package ships, unsigned, by name: each bus has its own registrar."""
    folder = files("schemas").joinpath("rules")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".json")]
    return {entry.name.removesuffix(".json"): entry.read_text("utf-8") for entry in found}


def _text(signed: bytes, by: note.Verifier | None) -> str:
    if len(signed) > rule.SIGNED_MAX_BYTES:
        raise BadRule("too large")
    try:
        told = signed.decode()
        return note.split(told)[0] if by is None else note.verify(told, by)
    except ValueError:  # BadNote and UnicodeDecodeError are
        raise BadRule("not signed by this registrar" if by else "not a signed rule") from None


def _fitted(asked: Rule) -> Rule:
    try:
        rule.fit(asked, catalogue().codec_of_data_set(asked.data_set).schema)
    except UnknownSchema:
        raise BadRule("data_set: unknown") from None
    return asked
