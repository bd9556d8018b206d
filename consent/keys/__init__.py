"""The ledger's keys: `ring` what they do, `sources` who wraps them at rest, `pkcs11` a token as that source, `files` where they lie."""

from __future__ import annotations

from consent.keys.files import BadKeyFile, read_or_make
from consent.keys.pkcs11 import Token, choose
from consent.keys.ring import KeyRing, ephemeral, open_keys, rewrap
from consent.keys.sources import KEK, Master

__all__ = [
    "KEK",
    "BadKeyFile",
    "KeyRing",
    "Master",
    "Token",
    "choose",
    "ephemeral",
    "open_keys",
    "read_or_make",
    "rewrap",
]
