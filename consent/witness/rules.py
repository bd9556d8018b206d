"""What a witness decides on a submitted checkpoint (c2sp.org/tlog-witness, add-checkpoint). Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from consent.core import merkle, note
from consent.core.note import BadNote, Verifier
from consent.core.tiles import HASH_BYTES

MAX_BYTES = 128 * 1024
MAX_PATH = 63
SIZE_TYPE = "text/x.tlog.size"


class BadSubmission(ValueError):
    """Not the body of an add-checkpoint request."""


class Submission(NamedTuple):
    """A checkpoint (a note), and the consistency proof from the size its log believes the witness to have seen."""

    old_size: int
    path: tuple[bytes, ...]
    checkpoint: str


class Seen(NamedTuple):
    """The head last cosigned for a log."""

    size: int
    root: bytes


NOTHING = Seen(0, merkle.EMPTY_ROOT)


class Refusal(NamedTuple):
    """HTTP status, and for 409 the size last cosigned."""

    status: int
    size: int | None = None


class Cosign(NamedTuple):
    """To be remembered, then signed: the new head, and the checkpoint's text."""

    seen: Seen
    text: str


def write(submission: Submission) -> bytes:
    """The request's body."""
    lines = [f"old {submission.old_size}", *(base64.b64encode(sibling).decode() for sibling in submission.path)]
    return ("\n".join(lines) + "\n\n" + submission.checkpoint).encode()


def read(body: bytes) -> Submission:
    """A request's body; BadSubmission if it is not one."""
    try:
        head, blank, checkpoint = body.decode().partition("\n\n")
        old, *lines = head.split("\n")
        keyword, _, size = old.partition(" ")
        submission = Submission(note.decimal(size), tuple(note.decode(line) for line in lines), checkpoint)
        note.split(checkpoint)
    except ValueError:
        raise BadSubmission("not a submission") from None
    if not blank or keyword != "old" or len(body) > MAX_BYTES or checkpoint.startswith("\n"):
        raise BadSubmission("not a submission")
    if len(lines) > MAX_PATH or any(len(sibling) != HASH_BYTES for sibling in submission.path):
        raise BadSubmission("not a consistency proof")
    return submission


def origin(submission: Submission) -> str:
    return submission.checkpoint.partition("\n")[0]


def decide(submission: Submission, logs: Mapping[str, Sequence[Verifier]], seen: Seen) -> Cosign | Refusal:
    """`seen` is what was last cosigned for the submission's origin, `NOTHING` if nothing was."""
    keys = logs.get(origin(submission))
    if keys is None:
        return Refusal(404)
    try:
        text = _signed(submission.checkpoint, keys)
    except BadNote:
        return Refusal(403)
    try:
        head = note.parse_checkpoint(text)
    except BadNote:
        return Refusal(400)
    if submission.old_size > head.size:
        return Refusal(400)
    if submission.old_size != seen.size or (head.size == seen.size > 0 and head.root != seen.root):
        return Refusal(409, seen.size)
    try:
        if head.size == 0 and head.root != merkle.EMPTY_ROOT:
            raise ValueError("an empty tree has one root")
        merkle.verify_consistency(seen.size, head.size, submission.path, seen.root, head.root)
    except ValueError:
        return Refusal(422)
    return Cosign(Seen(head.size, head.root), text)


def _signed(checkpoint: str, keys: Sequence[Verifier]) -> str:
    """The text, signed by one of a log's keys at least; BadNote if none signed, or one badly."""
    _, signatures = note.split(checkpoint)
    signers = [key for key in keys if any((s.name, s.key_id) == (key.name, key.key_id) for s in signatures)]
    texts = {note.verify(checkpoint, key) for key in signers}
    if not texts:
        raise BadNote("not signed by this log")
    return texts.pop()
