"""Checking a fact of the log, step by step, so that each can be seen: what `consent.verify` does at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from consent.core import merkle, note, proof
from consent.core.leaves import commit
from consent.verify import Policy, cosigners

COMMITMENT_BYTES = 32
"""The last field of a leaf (`ledger-fact`)."""


class Step(NamedTuple):
    """One step: what it shows, in French and English, what was found, and whether it holds; None where an earlier one did not."""

    fr: str
    en: str
    detail: str
    holds: bool | None


_STEPS = (
    ("La tête du journal est signée par la clé du registre", "The log's head is signed by the ledger's key"),
    ("L'empreinte de la feuille est recalculée", "The leaf's hash is computed again"),
    ("Le chemin mène de la feuille à la racine signée", "The path leads from the leaf to the signed root"),
    ("Des témoins extérieurs ont vu cette tête", "Outside witnesses have seen this head"),
    ("Le contenu est celui que la feuille engage", "The content is what the leaf commits to"),
)


def steps(text: str, policy: Policy, now_s: int, salt: bytes = b"", content: bytes = b"") -> tuple[Step, ...]:
    """The steps of checking a tlog-proof that carries its leaf, and what it commits to where `salt` is given. After one that fails, the
    others are not looked at."""
    found = proof.read(text)

    def signed() -> str:
        head = note.parse_checkpoint(note.verify(found.checkpoint, policy.log))
        if head.origin != policy.log.name:
            raise ValueError("another log")
        return f"{head.origin}, {head.size}"

    def hashed() -> str:
        return merkle.leaf_hash(found.extra).hex()

    def included() -> str:
        head = note.parse_checkpoint(note.split(found.checkpoint)[0])
        merkle.verify_inclusion(merkle.leaf_hash(found.extra), found.leaf_index, head.size, found.path, head.root)
        return f"{found.leaf_index} → {head.root.hex()}"

    def seen() -> str:
        return ", ".join(sorted(cosigners(found.checkpoint, policy.witnesses, now_s))) or "–"

    def opens() -> str:
        if found.extra[-COMMITMENT_BYTES:] != commit(salt, content):
            raise ValueError("the leaf commits to something else")
        return found.extra[-COMMITMENT_BYTES:].hex()

    checks: list[Callable[[], str]] = [signed, hashed, included, seen] + ([opens] if salt else [])
    return tuple(_run(checks))


def _run(checks: Sequence[Callable[[], str]]) -> list[Step]:
    done: list[Step] = []
    for (fr, en), check in zip(_STEPS, checks, strict=False):
        if done and done[-1].holds is not True:
            done.append(Step(fr, en, "", None))
            continue
        try:
            done.append(Step(fr, en, check(), True))
        except ValueError as error:
            done.append(Step(fr, en, str(error), False))
    return done


def holds(done: Sequence[Step]) -> bool:
    """Whether every step holds."""
    return all(step.holds for step in done)
