"""The identity providers whose word a grant needs (`consent.tokens` verifies it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from exchange.ports import Unavailable


class Issuer(msgspec.Struct, frozen=True):
    """An identity provider: its name (`iss`), whom it identifies, its public keys (JWKS), and for whom each client (`aud`) speaks:
    a recipient's SIRET, or `*`."""

    issuer: str
    kind: Literal["citizen", "agent"]
    jwks: dict[str, Any]
    clients: dict[str, str]


class Issuers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Those a ledger believes. `declared`: a grant without any provider's word is recorded too, as what its writer declares; a sandbox's
    mark, nobody else's."""

    declared: bool = False
    issuers: tuple[Issuer, ...] = ()


DECLARED = Issuers(declared=True)


def read_issuers(path: Path) -> Issuers:
    """The issuers in a JSON file, none if it is absent; ValueError if it does not hold any."""
    return msgspec.json.decode(path.read_bytes(), type=Issuers) if path.exists() else Issuers()


def write_issuers(path: Path, issuers: Issuers) -> None:
    """The whole file or none of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(issuers)))
    part.replace(path)


class IssuersFile:
    """The issuers in a file, read again once it has changed: an identity provider's keys change while the ledger serves."""

    def __init__(self, path: Path) -> None:
        """ValueError if the file is there and holds none."""
        self._path = path
        self._seen, self._read = self._stamp(), read_issuers(path)

    def __call__(self) -> Issuers:
        """`Unavailable` while the file cannot be read: then nobody vouches for anything."""
        stamp = self._stamp()
        if stamp != self._seen:
            try:
                self._read, self._seen = read_issuers(self._path), stamp
            except (OSError, ValueError):
                raise Unavailable("ledger: issuers") from None
        return self._read

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
