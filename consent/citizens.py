"""What a person may see and do of their own agreements, by their identity or by the code on a receipt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, union

from consent import changes, previews
from consent.content import PERSON, ContentKeys, open_salted
from consent.core.agreement import minor
from consent.core.citizen import Agreement, Preview, Use, same_person
from consent.core.codes import code_digest, short_code
from consent.core.facts import Acknowledgement, Evidence, State, Submission
from consent.core.query import delivery
from consent.grants import person, terms_of
from consent.issuers import Issuers
from consent.keys import KeyRing
from consent.part import Part
from consent.stores import tables as t
from consent.stores.batch import insert_rows, select_rows
from consent.transaction import Transaction, read_scopes, row_of
from exchange.core.errors import Code
from exchange.core.identity import Identity, read, subject_reference
from exchange.ports import Refused

USES_SHOWN_MAX = 200
_a = t.authorisation.c


class Citizens(Part):
    """One of the bases of `consent.ledger.Ledger`: what people ask about themselves. Their own reading leaves no leaf."""

    async def agreements(self, identity: bytes) -> list[Agreement]:
        with self._reading() as connection:
            return of_person(connection, self._keys, identity, self._clock.now_ms())

    async def agreement(self, authorisation: bytes) -> Agreement:
        with self._reading() as connection:
            return _agreement(connection, row_of(connection, authorisation))

    async def agreement_of_code(self, code: str) -> Agreement:
        with self._reading() as connection:
            return _agreement(connection, by_code(connection, code))

    async def uses(self, authorisation: bytes) -> list[Use]:
        with self._reading() as connection:
            return uses(connection, authorisation)

    async def previews(self, authorisations: Sequence[bytes]) -> list[Preview]:
        with self._reading() as connection:
            return previews.previews(connection, authorisations, self._clock.now_ms())

    async def previewed(self, submission: Submission, accepted: bool, evidence: Evidence) -> int:
        with self._begin() as tx:
            return previews.say(tx, submission, accepted, evidence)


def of_person(connection: Connection, keys: KeyRing, identity: bytes, now_ms: int) -> list[Agreement]:
    """Every agreement about this person, or that they gave for another, with any recipient there ever was; the newest first. A child's
    are their parent's no more once they are of age."""
    read(identity)
    recipients = union(select(_a.recipient), select(t.delegation.c.recipient))
    key, among = keys.secrets["pseudonym.key"], connection.execute(recipients).scalars().all()
    references = [subject_reference(key, recipient, identity) for recipient in among]
    found: dict[bytes, Row[Any]] = {}
    for column in ("subject_ref", "representative_ref"):
        found |= {row.id: row for row in select_rows(connection, t.authorisation, column, references)}
    content, told = ContentKeys(connection, keys), list[Agreement]()
    content.prefetch(id for id, row in found.items() if row.representation == "parent")
    for row in sorted(found.values(), key=lambda row: (-row.at, row.id)):
        child = None if row.subject_ref in references else _child(content, row)
        if row.state != State.ERASED and (child is None or minor(child, now_ms)):
            called = "" if child is None else (*child.prenoms, child.nom_naissance)[0]
            told.append(msgspec.structs.replace(_agreement(connection, row), about=called))
    return told


def _child(content: ContentKeys, row: Any) -> Identity | None:
    """For whom a parent spoke."""
    cipher = content.cipher(row.id) if row.representation == "parent" and row.person else None
    return None if cipher is None else read(open_salted(cipher, PERSON, row.person)[1])


def by_code(connection: Connection, code: str) -> Any:
    """The row of the agreement whose receipt bears this code; None if there is none, or no more."""
    c = t.short_code.c
    found = connection.execute(select(c.authorisation).where(c.digest == code_digest(code))).scalar()
    return None if found is None else row_of(connection, found)


def _agreement(connection: Connection, row: Any) -> Agreement:
    if row is None or row.state == State.ERASED:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    c = t.acknowledgement.c
    body = connection.execute(select(c.body).where(c.authorisation == row.id, c.state == row.state)).scalar()
    acknowledged = msgspec.msgpack.decode(body, type=Acknowledgement) if body else None
    return Agreement(
        row.id, State(row.state), terms_of(row), row.operator, row.channel, row.at, row.uses, row.representation, acknowledged
    )  # fmt: skip


def uses(connection: Connection, authorisation: bytes) -> list[Use]:
    """What was done under an agreement, the newest first."""
    called = select(t.attempt.c.request, t.attempt.c.scopes).where(t.attempt.c.authorisation == authorisation)
    scopes: dict[bytes, tuple[str, ...]] = {r.request: read_scopes(r.scopes) for r in connection.execute(called)}
    ends: Iterable[Any] = (
        row
        for ended in (t.releases(authorisation), t.other_ends(authorisation))
        for row in connection.execute(
            select(t.terminal).where(ended).order_by(t.terminal.c.at.desc()).limit(USES_SHOWN_MAX)
        )
    )
    newest = sorted(ends, key=lambda row: (-row.at, -row.leaf_index, row.request))[:USES_SHOWN_MAX]
    return [
        Use(
            r.request, r.at, r.code, r.reason, r.provider_code, scopes.get(r.request, ()), delivery(r.code, r.with_key)
        )
        for r in newest
    ]  # fmt: skip


def code_of(keys: KeyRing, authorisation: bytes) -> str:
    """The code of an agreement's receipt; it opens once `enter_code` has been told."""
    return short_code(keys.secrets["pseudonym.key"], authorisation)


def code_is_known(connection: Connection, code: str) -> bool:
    c = t.short_code.c
    return connection.execute(select(c.digest).where(c.digest == code_digest(code))).first() is not None


def enter_code(tx: Transaction, authorisation: bytes, code: str) -> None:
    """The code opens from now on."""
    insert_rows(
        tx.connection, t.short_code, [{"digest": code_digest(code), "authorisation": authorisation}], ignore=True
    )


def claim(tx: Transaction, issuers: Issuers, authorisation: bytes, identity: bytes, evidence: Evidence) -> None:
    """An agreement that an agent recorded becomes the person's own, under the identity they logged in with; the collectivity fetches its
    capsule again. `Refused` `evidence_invalid` where it is about somebody else."""
    row = row_of(tx.connection, authorisation)
    if row is None or State(row.state) is not State.LIVE:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    _, recorded = person(tx, row)
    if evidence.tokens is None and not issuers.declared:
        raise Refused(Code.EVIDENCE_MISSING)
    if not same_person(read(recorded), read(identity)):
        raise Refused(Code.EVIDENCE_INVALID)
    changes.rebind(tx, issuers, authorisation, identity, evidence, row.operator)
