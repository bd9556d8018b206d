"""Sessions of people's browsers: rows that the cookie alone opens.

The cookie is 32 random bytes. The store knows their hash, and keeps what the session holds under a key derived from them: who has the
store reads no session, and cannot make one. A new id is given at each login (session fixation).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Column, Engine, Integer, LargeBinary, Table, delete, select
from sqlalchemy.dialects.sqlite import insert

from consent.keys import sources
from portal.store import metadata

IDLE_MS = 30 * 60_000
"""As FranceConnect's own sessions."""
LIFE_MS = 8 * 3_600_000
_ID_BYTES = 32

session = Table(
    "session", metadata, Column("hash", LargeBinary, primary_key=True), Column("sealed", LargeBinary, nullable=False),
    Column("born_ms", Integer, nullable=False), Column("seen_ms", Integer, nullable=False, index=True),
)  # fmt: skip


@dataclass
class Session:
    """What is known of one browser. `data` holds JSON values; `csrf` is the token its forms bear; `logins` says who is there, by role."""

    id: bytes
    born_ms: int
    data: dict[str, Any] = field(default_factory=dict)
    changed: bool = False
    is_new: bool = False
    ended: bool = False
    former: bytes = b""

    @property
    def cookie(self) -> str:
        return base64.urlsafe_b64encode(self.id).decode()

    @property
    def csrf(self) -> str:
        """Bound to the session, worth nothing outside it."""
        return sha256(b"accord.csrf.v1" + self.id).hexdigest()

    def login(self, role: str) -> dict[str, Any] | None:
        """Who is there in this role (`citizen`, `agent`, `officer`, `operator`), as the login left it; None for nobody."""
        found: dict[str, Any] | None = self.data.get("logins", {}).get(role)
        return found

    def let_in(self, role: str, who: dict[str, Any]) -> None:
        """Somebody has logged in: they get a new id, whoever knew the old one does not."""
        self.data.setdefault("logins", {})[role] = who
        self.former, self.id, self.changed = self.former or self.id, os.urandom(_ID_BYTES), True

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value; None forgets it."""
        self.data[key] = value
        if value is None:
            del self.data[key]
        self.changed = True

    def take(self, key: str) -> Any:
        """What was kept, once."""
        self.changed = self.changed or key in self.data
        return self.data.pop(key, None)

    def end(self) -> None:
        """Everything is forgotten."""
        self.data, self.ended, self.changed = {}, True, True


class Sessions:
    """The sessions of one portal. `now_ms` is the clock's."""

    def __init__(self, store: Engine, now_ms: Callable[[], int]) -> None:
        self._store, self._now_ms = store, now_ms

    def read(self, cookie: str | None) -> Session:
        """The session of a cookie; a new one where it opens none, is too old, or was still for too long."""
        now_ms, found = self._now_ms(), _id_of(cookie)
        if found is not None:
            with self._store.connect().execution_options(reading=True) as connection:
                row = connection.execute(select(session).where(session.c.hash == sha256(found).digest())).first()
            if row is not None and now_ms - row.seen_ms < IDLE_MS and now_ms - row.born_ms < LIFE_MS:
                data = _opened(found, row.sealed)
                if data is not None:
                    return Session(found, row.born_ms, data)
        return Session(os.urandom(_ID_BYTES), now_ms, is_new=True)

    def keep(self, held: Session) -> None:
        """Write what changed, and that it was seen."""
        now_ms, gone = self._now_ms(), [held.former] if held.former else []
        with self._store.begin() as connection:
            if held.ended:
                gone.append(held.id)
            else:
                row = {"sealed": _sealed(held.id, held.data), "seen_ms": now_ms, "born_ms": held.born_ms}
                statement = insert(session).values(hash=sha256(held.id).digest(), **row)
                connection.execute(statement.on_conflict_do_update(index_elements=["hash"], set_=row))
            connection.execute(delete(session).where(session.c.hash.in_([sha256(each).digest() for each in gone])))
            connection.execute(delete(session).where(session.c.seen_ms < now_ms - LIFE_MS))


def _id_of(cookie: str | None) -> bytes | None:
    try:
        found = base64.urlsafe_b64decode((cookie or "").encode("ascii"))
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == _ID_BYTES else None


def _key(session_id: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, b"accord.session.v1").derive(session_id))


def _sealed(session_id: bytes, data: dict[str, Any]) -> bytes:
    return sources.seal(_key(session_id), os.urandom(sources.NONCE_BYTES), json.dumps(data).encode(), b"")


def _opened(session_id: bytes, sealed: bytes) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(sources.unseal(_key(session_id), sealed, b""))
    except (InvalidTag, ValueError):
        return None
    return found
