"""The receipt of one authorisation, from the ledger's own leaves: collected in one read, proven, written as JSON-LD, signed.

The JSON-LD is the master; the machine form (C2SP tlog-proof) is in it, the page for people is made from it (`consent.paper`). Its
`accord:proof` holds, for each fact, the tlog-proof of its leaf and the salt and content the leaf commits to, and a note signed by the
log's key over the SHA-256 of all the rest: so no bit of it can change, and what it says of the terms is what the leaves say.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, select

from consent import paper
from consent.citizens import code_is_known, code_of, enter_code
from consent.content import CONTENT, ContentKeys, open_salted
from consent.core import life, merkle, note, record
from consent.core.proof import Proof
from consent.core.proof import write as write_proof
from consent.core.record import About, Party
from consent.keys import KeyRing
from consent.log import Log
from consent.stores import tables as t
from consent.transaction import row_of
from consent.verify_receipt import opened
from exchange.core.errors import Code
from exchange.ports import Refused
from exchange.schemas import UnknownSchema, catalogue

ORGANISATIONS = "organisations.json"
"""Name in the data directory: `{"<SIRET, SIREN or provider>": {"name", "address", "contact", "url"}}`, each optional."""

PARTIES = {
    "cnaf": Party("Caisse nationale des allocations familiales (CNAF)", "32 avenue de la Sibelle, 75685 Paris Cedex 14", "", "https://www.caf.fr/"),
}  # fmt: skip
_SCOPE = re.compile(r"^(.*?)\s*Scope (\w+)\.$", re.DOTALL)


class Opening(NamedTuple):
    """A leaf, and what it commits to."""

    leaf_index: int
    leaf: bytes
    salt: bytes
    content: bytes


class Proven(NamedTuple):
    """A leaf, its path and the checkpoint it leads to."""

    leaf: bytes
    path: Sequence[bytes]
    checkpoint: str


class Gathered(NamedTuple):
    """What the store holds for one receipt."""

    authorisation: bytes
    subject_ref: bytes
    operator: str
    uses: int
    openings: list[Opening]


class Receipts(Log):
    """One of the bases of `consent.ledger.Ledger`: receipts, which are proofs put in words."""

    parties: Mapping[str, Party] = MappingProxyType({})
    """Organisations by number, as the data directory names them."""

    async def receipt(self, authorisation: bytes) -> str:
        code = code_of(self._keys, authorisation)
        with self._reading() as connection:
            found, known = collect(connection, self._keys, authorisation), code_is_known(connection, code)
        if not known:
            with self._begin() as tx:
                enter_code(tx, authorisation, code)
        proofs = [Proven(*await self.proof(opening.leaf_index)) for opening in found.openings]
        return issue(self._keys, found, proofs, self._clock.now_ms(), self.parties)


def collect(connection: Connection, keys: KeyRing, authorisation: bytes) -> Gathered:
    """Everything a receipt needs but proofs; `Refused` where there is no such authorisation, or nothing is left to open."""
    row = row_of(connection, authorisation)
    if row is None:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    cipher = ContentKeys(connection, keys).cipher(authorisation)
    if cipher is None:
        raise Refused(Code.ERASED)
    c = t.leaf.c
    rows = connection.execute(
        select(c.idx, c.leaf, c.content).where(t.about(authorisation), c.kind.in_(sorted(life.KINDS))).order_by(c.idx)
    ).all()
    return Gathered(
        authorisation,
        bytes(row.subject_ref),
        row.operator,
        row.uses,
        [_open(cipher, r.idx, r.leaf, r.content) for r in rows],
    )


def _open(cipher: AESGCM, index: int, leaf: bytes, sealed: bytes) -> Opening:
    if not sealed:  # read back from the public log after a loss: the leaf holds, what it says is gone
        raise Refused(Code.ERASED)
    return Opening(index, bytes(leaf), *open_salted(cipher, CONTENT, bytes(sealed)))


def issue(keys: KeyRing, found: Gathered, proofs: Sequence[Proven], now_ms: int, parties: Mapping[str, Party]) -> str:
    """The signed receipt, as JSON-LD text."""
    lived = life.live([opened(*opening) for opening in found.openings])
    leaves = {opening.leaf_index: opening.leaf for opening in found.openings}
    title, labels = words_of(lived.terms.data_set)
    about = About(
        found.authorisation, found.subject_ref, found.operator, found.uses, now_ms, keys.origin,
        merkle.leaf_hash(leaves[lived.act.leaf_index]), _status(proofs), paper.edition(), title, labels, {**PARTIES, **parties},
        code_of(keys, found.authorisation),
    )  # fmt: skip
    document = record.write(lived, about)
    document["accord:proof"] = {
        "facts": [
            {
                "tlogProof": write_proof(
                    Proof(opening.leaf_index, tuple(proven.path), proven.checkpoint, opening.leaf)
                ),
                "salt": base64.b64encode(opening.salt).decode(),
                "content": opening.content.decode(),
            }
            for opening, proven in zip(found.openings, proofs, strict=True)
        ]
    }
    document["accord:proof"]["statement"] = note.sign(record.statement(keys.origin, document), keys.origin, keys.log)
    return record.dump(document)


def _status(proofs: Sequence[Proven]) -> str:
    """`final` once every checkpoint carries a cosignature: the ledger keeps only those it has verified."""
    return "final" if all(len(note.split(proven.checkpoint)[1]) > 1 for proven in proofs) else "pending"


def words_of(data_set: str) -> tuple[str, dict[str, str]]:
    """A data set's title and its scopes in French, from the docs of its schema."""
    try:
        schema = catalogue().codec_of_data_set(data_set).schema
    except UnknownSchema:
        return data_set, {}
    docs = [_SCOPE.match(field.get("doc", "")) for field in schema["fields"]]
    return schema.get("doc", data_set).split(" (")[0], {m[2]: m[1].rstrip(".") for m in docs if m}


def read_parties(path: Path) -> dict[str, Party]:
    """The organisations a data directory names; none where it has no such file. ValueError if it cannot be read."""
    if not path.exists():
        return {}
    try:
        named = json.loads(path.read_text("utf-8"))
        return {
            number: Party(**{field: str(text) for field, text in fields.items()}) for number, fields in named.items()
        }
    except (TypeError, AttributeError) as error:
        raise ValueError("not a list of organisations") from error
