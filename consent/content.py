"""What a person said lies encrypted beside the log: each authorisation has a content key, wrapped under the key of its subject, and that
under the content KEK. Deleting a row makes unreadable all that lies below it, while every proof still verifies.

The subject is a person at one recipient (`subject_reference`); an authorisation whose person is not known is its own subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update

from consent.keys import KeyRing
from consent.keys.sources import KEY_BYTES, seal, unseal
from consent.stores import tables as t
from exchange.core.encoding import join, split

CONTENT, PERSON = b"accord.content.v1", b"accord.person.v1"
"""What is sealed: the content of a leaf, the identity of a person."""

_C, _S = t.content_key.c, t.subject_key.c
_HELD = (
    select(_C.authorisation, _C.subject, _C.wrapped, _S.wrapped.label("outer"), _S.kek_epoch)
    .join(t.subject_key, _S.subject == _C.subject)
    .where(_C.authorisation.in_(bindparam("ids", expanding=True)))
)


def seal_salted(cipher: AESGCM, nonce: bytes, label: bytes, salt: bytes, value: bytes) -> bytes:
    """What a commitment hides, and its salt, under an authorisation's content key."""
    return seal(cipher, nonce, join(salt, value), label)


def open_salted(cipher: AESGCM, label: bytes, sealed: bytes) -> tuple[bytes, bytes]:
    """The salt and the value."""
    salt, value = split(unseal(cipher, sealed, label), 2)
    return salt, value


class _Held(NamedTuple):
    """A content key, unwrapped."""

    subject: bytes
    key: bytes
    cipher: AESGCM


class ContentKeys:
    """The content keys one transaction uses."""

    def __init__(self, connection: Connection, keys: KeyRing) -> None:
        self._connection, self._keys = connection, keys
        self._held: dict[bytes, _Held | None] = {}

    def prefetch(self, authorisations: Iterable[bytes]) -> None:
        """Read many at once."""
        wanted = sorted(a for a in set(authorisations) if a not in self._held)
        if not wanted:
            return
        self._held |= dict.fromkeys(wanted)
        for row in self._connection.execute(_HELD, {"ids": wanted}):
            self._held[row.authorisation] = self._open(row)

    def cipher(self, authorisation: bytes) -> AESGCM | None:
        """None where there is none: not made yet, or erased."""
        self.prefetch([authorisation])
        held = self._held[authorisation]
        return held.cipher if held else None

    def mint(self, authorisation: bytes, subject: bytes = b"") -> AESGCM:
        """The authorisation's content key, made at its first fact. Once its subject is known, wrapped under that subject's key."""
        self.prefetch([authorisation])
        held = self._held[authorisation]
        if held is not None and subject in (b"", held.subject):
            return held.cipher
        subject, key = subject or authorisation, held.key if held else self._keys.entropy(KEY_BYTES)
        values = {"subject": subject, "wrapped": self._keys.seal(self._subject_key(subject), key, join(authorisation))}
        if held is None:
            self._connection.execute(insert(t.content_key).values(values | {"authorisation": authorisation}))
        else:
            self._connection.execute(update(t.content_key).where(_C.authorisation == authorisation).values(values))
            self._drop_unused(held.subject)
        made = self._held[authorisation] = _Held(subject, key, AESGCM(key))
        return made.cipher

    def forget(self, authorisation: bytes) -> None:
        """One authorisation's content becomes unreadable; the subject's key goes with its last one."""
        self.prefetch([authorisation])
        held = self._held[authorisation]
        self._connection.execute(delete(t.content_key).where(_C.authorisation == authorisation))
        self._held[authorisation] = None
        if held is not None:
            self._drop_unused(held.subject)

    def forget_subject(self, subject: bytes) -> None:
        """Everything of a person with one recipient becomes unreadable."""
        self._connection.execute(delete(t.content_key).where(_C.subject == subject))
        self._connection.execute(delete(t.subject_key).where(_S.subject == subject))
        self._held = {a: None if held and held.subject == subject else held for a, held in self._held.items()}

    def _open(self, row: Any) -> _Held:
        outer = AESGCM(self._keys.unwrap_subject_key(row.subject, row.kek_epoch, row.outer))
        key = unseal(outer, row.wrapped, join(row.authorisation))
        return _Held(row.subject, key, AESGCM(key))

    def _subject_key(self, subject: bytes) -> bytes:
        """Made at the first authorisation of that subject."""
        row = self._connection.execute(select(_S.kek_epoch, _S.wrapped).where(_S.subject == subject)).first()
        if row is not None:
            return self._keys.unwrap_subject_key(subject, row.kek_epoch, row.wrapped)
        key = self._keys.entropy(KEY_BYTES)
        wrapped = self._keys.wrap_subject_key(subject, key)
        self._connection.execute(
            insert(t.subject_key).values(subject=subject, kek_epoch=self._keys.content.newest, wrapped=wrapped)
        )
        return key

    def _drop_unused(self, subject: bytes) -> None:
        used = exists().where(_C.subject == _S.subject)
        self._connection.execute(delete(t.subject_key).where(_S.subject == subject, ~used))
