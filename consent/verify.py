"""Verifying a receipt offline, with nothing but verifier keys: the log's, those of the witnesses one trusts, and how many of them
must have cosigned (k of n).

A receipt is a C2SP tlog-proof whose `extra` is the leaf. Imports the pure core and `cryptography` only: an auditor reads these
few files and needs none of ours running.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consent.core import merkle, note, proof
from consent.core.cosignature import Witness, cosigned_at, parse_witness
from consent.core.note import Verifier, parse_verifier


class BadReceipt(ValueError):
    """A receipt that does not prove what it should."""


class Pending(BadReceipt):
    """All is right, but too few witnesses have cosigned yet: the log alone answers for it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The log, the witnesses trusted, and how many of them it takes. ValueError where keys are not distinct: the message of an
    Ed25519 cosignature does not name its signer, so one key under two names would count twice."""

    log: Verifier
    witnesses: tuple[Witness, ...] = ()
    quorum: int = 0

    def __post_init__(self) -> None:
        keys = [self.log.public_key, *(w.public_key for w in self.witnesses)]
        if not 0 <= self.quorum <= len(self.witnesses):
            raise ValueError("quorum larger than the witnesses")
        if len(set(keys)) != len(keys) or len({w.name for w in self.witnesses}) != len(self.witnesses):
            raise ValueError("witnesses that are not distinct")


class Verified(NamedTuple):
    """What a receipt proves: this leaf stands at `leaf_index` of the log `origin`, whose first `size` leaves have the root `root`,
    as seen by witnesses (name → POSIX seconds)."""

    origin: str
    leaf_index: int
    size: int
    root: bytes
    leaf: bytes
    witnesses: dict[str, int]


def policy(log_vkey: str, witness_vkeys: Sequence[str] = (), quorum: int | None = None) -> Policy:
    """A policy from verifier keys as text; all witnesses if no quorum is given. ValueError if a key is not one."""
    witnesses = tuple(parse_witness(vkey) for vkey in witness_vkeys)
    return Policy(parse_verifier(log_vkey), witnesses, len(witnesses) if quorum is None else quorum)


def verify(receipt: bytes, policy: Policy, now_s: int, leaf: bytes | None = None) -> Verified:
    """What the receipt proves; BadReceipt if it does not, Pending if only witnesses are missing. `leaf` is what the receipt is
    about, where it does not carry it."""
    try:
        found = proof.read(receipt.decode())
        head = note.parse_checkpoint(note.verify(found.checkpoint, policy.log))
        about = found.extra if leaf is None else leaf
        merkle.verify_inclusion(merkle.leaf_hash(about), found.leaf_index, head.size, found.path, head.root)
        seen = cosigners(found.checkpoint, policy.witnesses, now_s)
    except ValueError as error:
        raise BadReceipt(str(error)) from error
    if head.origin != policy.log.name:
        raise BadReceipt("another log")
    if len(seen) < policy.quorum:
        raise Pending(f"{len(seen)} of {policy.quorum} witnesses")
    return Verified(head.origin, found.leaf_index, head.size, head.root, about, seen)


def cosigners(checkpoint: str, witnesses: Sequence[Witness], now_s: int) -> dict[str, int]:
    """Which of these witnesses cosigned a checkpoint, and when; BadNote if one of their signatures is bad."""
    text, signatures = note.split(checkpoint)
    times = {witness.name: cosigned_at(text, signatures, witness, now_s) for witness in witnesses}
    return {name: time for name, time in times.items() if time is not None}
