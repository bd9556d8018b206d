"""Checking what the ledger says of a release, with nothing but its verifier key and what the collectivity knows.

Now: the leaf commits to this very answer (D, T, certificate), is in the chunk's batch, and the batch root is signed. Later, once
a checkpoint exists, `verify_proof` shows the same leaf in the public log (RFC 6962, C2SP tlog-checkpoint).
"""

from __future__ import annotations

import base64

from consent.core import merkle, note
from consent.core.facts import Outcome
from consent.core.leaves import commit, released_content
from exchange.core.sealing import Context, transcript
from exchange.schemas import catalogue


class BadReceipt(ValueError):
    """A receipt that does not prove what it should."""


def context(outcome: Outcome, digest: bytes) -> Context:
    """What the collectivity rebuilds T from: its own D, the rest as the outcome says; a lie about any of it does not open."""
    return Context(
        digest,
        outcome.certificate_hash,
        outcome.recipient_key,
        outcome.schema_hash,
        outcome.scopes,
        outcome.rule_hash,
        outcome.deadline_ms,
    )


def verify_release(outcome: Outcome, digest: bytes, verifier: note.Verifier) -> None:
    """BadReceipt unless the ledger signed that this request was released as told."""
    try:
        leaf = catalogue().codec("ledger-fact").decode(outcome.leaf)
        lines = note.verify(outcome.batch_note, verifier).split("\n")
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
        if lines[0] != f"{verifier.name}/batch" or leaf["kind"] != "released":
            raise BadReceipt("not a release of this log")
        told = context(outcome, digest)
        if leaf["commitment"] != commit(outcome.leaf_salt, released_content(told, transcript(told))):
            raise BadReceipt("the leaf is about something else")
        hashed = merkle.leaf_hash(outcome.leaf)
        merkle.verify_inclusion(hashed, outcome.batch_place, size, outcome.path, root)
    except (ValueError, IndexError) as error:
        raise error if isinstance(error, BadReceipt) else BadReceipt("not a receipt") from error


def verify_proof(
    leaf: bytes, index: int, path: list[bytes], checkpoint: str, verifier: note.Verifier
) -> note.Checkpoint:
    """BadReceipt unless the leaf is at `index` in the log of this signed checkpoint; the checkpoint."""
    try:
        head = note.parse_checkpoint(note.verify(checkpoint, verifier))
        merkle.verify_inclusion(merkle.leaf_hash(leaf), index, head.size, path, head.root)
    except ValueError as error:
        raise BadReceipt("the leaf is not in this log") from error
    if head.origin != verifier.name:
        raise BadReceipt("another log")
    return head
