"""What an officer asks on a form, as a question to the ledger; and what a page shows of its answers, proofs checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from consent.core import told
from consent.core.dossier import says
from consent.core.facts import Basis, Channel, State
from consent.core.query import Fact, Head, Query, Row
from consent.verify import Policy
from portal.core.checking import holds, steps
from portal.core.language import Tr

FIELDS = ("subject", "recipient", "operator", "data_set", "purpose", "agent", "channel", "basis", "state", "from", "to")
STATES, CHANNELS, BASES = tuple(State), ("online", "counter", "phone", "paper"), ("consent", "legal")
_TOKENS = "vouched"
"""Kind of the leaf that holds an identity provider's tokens: its proof is shown, its content is for the dossier."""


def query_of(fields: Mapping[str, str], after: str = "", limit: int = 50) -> Query:
    """The query of a form's fields; ValueError names the field that cannot be."""
    given = {name: fields.get(name, "").strip() for name in FIELDS}
    for name, known in (("channel", CHANNELS), ("basis", BASES), ("state", STATES)):
        if given[name] and given[name] not in known:
            raise ValueError(name)
    return Query(
        subject=_reference(given["subject"]),
        recipient="".join(given["recipient"].split()),
        operator=given["operator"],
        data_set=given["data_set"],
        purpose=given["purpose"],
        basis=cast("Basis | None", given["basis"] or None),
        agent=given["agent"],
        channel=cast("Channel | None", given["channel"] or None),
        state=State(given["state"]) if given["state"] else None,
        from_ms=day_ms(given["from"], "from"),
        to_ms=day_ms(given["to"], "to", end=True),
        limit=limit,
        after=after,
    )


def _reference(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        raise ValueError("subject") from None
    if len(found) not in (0, 32):
        raise ValueError("subject")
    return found


def day_ms(text: str, field: str, *, end: bool = False) -> int:
    """The start of a day (YYYY-MM-DD, UTC) in ms since 1970, or its end; 0 for none. ValueError names the field."""
    if not text:
        return 0
    try:
        start = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(field) from None
    return int(start.timestamp()) * 1000 + (86_400_000 if end else 0)


def head(found: Head) -> dict[str, Any]:
    """What an answer is complete against."""
    name, size, root = found.checkpoint.split("\n")[:3]
    return {
        "checkpoint": found.checkpoint,
        "log": name,
        "size": int(size),
        "root": root,
        "leaf": found.leaf_index,
        "recipients": list(found.recipients),
    }


def row(found: Row, against: Head, policy: Policy, now_s: int, tr: Tr) -> dict[str, Any]:
    """An authorisation of a page of results; whether the proof of its first leaf holds."""
    proof = told.tlog_proof(found.fact, against)
    checked = bool(proof) and holds(steps(proof, policy, now_s))
    words = {name: told.word(getattr(found, name), tr) for name in ("state", "channel", "basis")}
    return told.flat(found) | {
        "scopes": list(found.scopes),
        "words": words,
        "proven": checked,
        "over": found.state in told.CLOSED,
    }


def fact(found: Fact, against: Head, policy: Policy, now_s: int, tr: Tr) -> dict[str, Any]:
    """A fact: what happened, what it says, and every step of checking it. What it says is gone once erased."""
    proof = told.tlog_proof(found, against)
    done = steps(proof, policy, now_s, found.salt, found.content)
    return {
        "index": found.index,
        "kind": found.kind,
        "text": told.word(found.kind, tr),
        "at_ms": found.at_ms,
        "says": says(found.content) if found.salt and found.kind != _TOKENS else None,
        "gone": not found.salt,
        "proven": holds(done),
        "steps": [{"text": tr(step.fr, step.en), "detail": step.detail, "holds": step.holds} for step in done],
        "proof": proof,
    }


def file_name(found: Fact) -> str:
    """Of a fact's tlog-proof in a bundle."""
    return f"{found.index}-{found.kind}.tlog-proof"


def readme(vkey: str, names: list[str], tr: Tr) -> str:
    """How to check a bundle again, with nothing of ours running."""
    lines = [
        tr("Vérifier hors ligne, avec la seule clé du registre :", "To check offline, with the ledger's key alone:"),
        "",
        *(f"    accord receipt verify '{name}' --vkey '{vkey}'" for name in names),
        "",
        tr(
            "Chaque .tlog-proof suit la norme publique C2SP tlog-proof : un autre programme peut la vérifier aussi.",
            "Each .tlog-proof follows the public C2SP tlog-proof format: another program may check it too.",
        ),
    ]
    return "\n".join(lines) + "\n"
