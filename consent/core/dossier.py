"""All that is held on a person at one recipient (GDPR art. 15), as one JSON document and the log's signed note over it.

The document carries, for each fact, its leaf, what the leaf commits to and its inclusion path: whoever has the log's verifier key
can check, offline, that this is what was recorded and that the log holds it. The note's text is: origin/dossier, SHA-256 of the
document (base64), size and root of the checkpoint inside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from consent.core import merkle, note
from consent.core.facts import Terms
from consent.core.leaves import commit
from consent.core.life import Collected
from consent.core.query import Fact

FORMAT = "accord.dossier.v1"
_COMMITMENT_BYTES = 32
_NAMED = {"terms": Terms, "evidence": Collected}


class BadDossier(ValueError):
    """Not a dossier of this log, or altered."""


class Checked(NamedTuple):
    """A dossier that holds: its document, the log it is of, the leaves of the head it names, and how many facts lead there."""

    document: dict[str, Any]
    origin: str
    size: int
    facts: int


def write(head: note.Checkpoint, checkpoint: str, facts: Sequence[Fact], told: Mapping[str, Any]) -> bytes:
    """The document; `told` is what a person reads, the rest is what proves it."""
    document = {"format": FORMAT, "log": head.origin} | dict(told)
    document |= {"facts": [_fact(fact) for fact in facts], "checkpoint": checkpoint}
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _fact(fact: Fact) -> dict[str, Any]:
    proved = {"leaf": _text(fact.leaf), "path": [_text(sibling) for sibling in fact.path]}
    said = {"says": says(fact.content), "salt": _text(fact.salt), "content": _text(fact.content)} if fact.salt else {}
    return {"index": fact.index, "kind": fact.kind, "at_ms": fact.at_ms} | said | proved


def says(content: bytes) -> Any:
    """What a leaf commits to, with the names of its fields; None where it is digests only."""
    try:
        said = json.loads(content)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    return {name: _fields(name, value) for name, value in said.items()}


def _fields(name: str, value: Any) -> Any:
    if name not in _NAMED or not isinstance(value, list):
        return value
    fields = _NAMED[name].__struct_fields__
    return dict(zip(fields, value, strict=False))


def note_text(head: note.Checkpoint, document: bytes) -> str:
    """What the log signs over a document."""
    return f"{head.origin}/dossier\n{_text(hashlib.sha256(document).digest())}\n{head.size}\n{_text(head.root)}\n"


def verify(document: bytes, signed: str, verifier: note.Verifier) -> Checked:
    """BadDossier unless the log of `verifier` signed this document, and every fact in it is in that log and says what was committed."""
    try:
        text = note.verify(signed, verifier)
        body = json.loads(document)
        head = note.parse_checkpoint(note.verify(body["checkpoint"], verifier))
        if head.origin != verifier.name or text != note_text(head, document) or body["format"] != FORMAT:
            raise BadDossier("signed for another document")
        for fact in body["facts"]:
            _check(fact, head)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise error if isinstance(error, BadDossier) else BadDossier("not a dossier of this log") from error
    return Checked(body, head.origin, head.size, len(body["facts"]))


def _check(fact: Mapping[str, Any], head: note.Checkpoint) -> None:
    leaf, path = note.decode(fact["leaf"]), [note.decode(sibling) for sibling in fact["path"]]
    merkle.verify_inclusion(merkle.leaf_hash(leaf), fact["index"], head.size, path, head.root)
    if "content" not in fact:
        return
    content = note.decode(fact["content"])
    committed = leaf[-_COMMITMENT_BYTES:]  # the last field of ledger-fact, of fixed size
    if committed != commit(note.decode(fact["salt"]), content) or fact["says"] != says(content):
        raise BadDossier("a fact says something else than its leaf")


def plain(value: object) -> Any:
    """A value of ours with its fields' names, bytes in hexadecimal."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.hex() if isinstance(value, bytes) else value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
