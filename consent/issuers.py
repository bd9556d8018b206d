"""The identity providers whose word a grant needs (`consent.tokens` verifies it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec


class Issuer(msgspec.Struct, frozen=True):
    """An identity provider: its name (`iss`), whom it identifies, its public keys (JWKS), and for whom each client (`aud`) speaks:
    a recipient's SIRET, or `*`."""

    issuer: str
    kind: Literal["citizen", "agent"]
    jwks: dict[str, Any]
    clients: dict[str, str]


def read_issuers(path: Path) -> tuple[Issuer, ...]:
    """The issuers in a JSON file, none if it is absent; ValueError if it is not one."""
    return msgspec.json.decode(path.read_bytes(), type=tuple[Issuer, ...]) if path.exists() else ()
