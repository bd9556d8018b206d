"""What officers are told, whatever they read it on: words in both languages, lines of a sheet, documents, files. The values are those of
`consent.core.query`; `tr` says which of a French and an English text is read."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from consent.core import note, proof
from consent.core.dossier import plain, says
from consent.core.query import Activity, Fact, Ground, Head, Register, Row, Signed
from exchange.core.rendering import rfc3339

Tr = Callable[[str, str], str]

WORDS = {
    "live": ("en vigueur", "in force"), "requested": ("demandé", "requested"), "refused": ("refusé", "refused"),
    "opposed": ("opposition", "objected"), "withdrawn": ("retiré", "withdrawn"), "erased": ("effacé", "erased"),
    "expired": ("expiré", "expired"), "used_up": ("épuisé", "used up"), "invalidated": ("invalidé", "invalidated"),
    "ended": ("clos", "ended"), "online": ("en ligne", "online"), "counter": ("guichet", "counter"),
    "phone": ("téléphone", "phone"), "paper": ("papier", "paper"), "consent": ("consentement", "consent"),
    "legal": ("texte", "legal basis"), "released": ("transmise", "released"), "failed": ("échec", "failed"),
    "cancelled": ("annulée", "cancelled"), "": ("en cours", "open"), "key": ("remise avec sa clé", "handed over with its key"),
    "cut": ("coupée : personne ne peut l'ouvrir", "cut: nobody can open it"), "none": ("rien n'est parti", "nothing left"),
    "unconfirmed": ("partie, non confirmée", "sent, not confirmed"), "given": ("donné", "given"),
    "renewed": ("renouvelé", "renewed"), "narrowed": ("restreint", "narrowed"), "habilitation": ("habilitation", "habilitation"),
    "delegation": ("délégation", "delegation"), "closed": ("fin sans transmission", "ended without release"),
    "attempt": ("appel", "call"), "terminal": ("issue", "outcome"), "queried": ("consultation", "consultation"),
    "vouched": ("parole d'un fournisseur d'identité", "an identity provider's word"), "rebound": ("identité corrigée", "identity corrected"),
    "withdrawal_settled": ("retrait soldé", "withdrawal settled"), "rekeyed": ("clé remplacée", "key replaced"),
    "recovered": ("relu après une perte", "read back after a loss"), "later": ("à venir", "to come"),
    "preview_accepted": ("aperçu : la personne laisse transmettre", "preview: the person lets it be handed over"),
    "preview_rejected": ("aperçu : la personne ne veut pas", "preview: the person does not want it"),
}  # fmt: skip
COLUMNS = (*(name for name in Row.__struct_fields__ if name != "fact"), "leaf_index")
"""Of an authorisation, as a line of a sheet."""
CLOSED = frozenset({"refused", "opposed", "withdrawn", "erased", "invalidated", "ended"})
"""States in which nothing may be asked any more, whatever the time."""
DOCUMENT, NOTE = "dossier.json", "dossier.note"
"""The two parts of a dossier in a file."""


def word(value: str, tr: Tr) -> str:
    """A word of the ledger in the reader's language."""
    return tr(*WORDS.get(value, (value, value)))


def when(ms: int) -> str:
    """To the minute, UTC."""
    return rfc3339(ms)[:16].replace("T", " ") if ms else "–"


def markdown(answer: Register, tr: Tr) -> str:
    """The register of processing as a document."""
    title = tr("Registre des activités de traitement", "Register of processing activities")
    parts = [f"# {title}"]
    for one in answer.activities:
        lines = [f"- **{name}** : {value}" for name, value in activity(one, tr).items()]
        parts.append("\n".join([f"## {one.purpose} — {one.controller}", "", *lines]))
    parts.append(f"```\n{answer.head.checkpoint}```")
    return "\n\n".join(parts)


def activity(one: Activity, tr: Tr) -> dict[str, str]:
    """A line of the register in words."""
    shortest, longest = one.retention_days
    days = str(longest) if shortest == longest else f"{shortest}-{longest}"
    end = when(one.not_after_ms) if one.in_force else tr("terminée", "over")
    states = ", ".join(f"{word(state, tr)} {count}" for state, count in sorted(one.states.items()))
    return {
        tr("responsable", "controller"): one.controller,
        tr("sous-traitants", "processors"): ", ".join(one.processors) or "–",
        tr("données", "data"): f"{one.data_set} : {one.title}",
        tr("catégories", "categories"): " ; ".join(doc.rstrip(".") or scope for scope, doc in one.categories) or "–",
        tr("source", "source"): one.source,
        tr("base", "basis"): ", ".join(filter(None, (one.legal_reference, *(word(each, tr) for each in one.bases)))),
        tr("habilitation", "habilitation"): end,
        tr("conservation", "retention"): tr(f"{days} jours", f"{days} days") if longest else "–",
        tr("accords", "agreements"): states or "0",
    }


def flat(row: Row) -> dict[str, Any]:
    """An authorisation as one line of a sheet."""
    fields: dict[str, Any] = plain(row)
    del fields["fact"]
    return fields | {"scopes": " ".join(row.scopes), "leaf_index": row.fact.index}


def flat_activity(activity: Activity) -> dict[str, Any]:
    """An activity as one line of a sheet."""
    fields: dict[str, Any] = plain(activity)
    return fields | {
        "processors": " ".join(activity.processors), "categories": " ".join(scope for scope, _ in activity.categories),
        "bases": " ".join(activity.bases), "retention_days": activity.retention_days[1], "states": sum(activity.states.values()),
    }  # fmt: skip


def head_facts(head: Head) -> dict[str, Any]:
    """What an answer is complete against."""
    return {"checkpoint": head.checkpoint, "query_leaf": head.leaf_index, "recipients": list(head.recipients)}


def row_facts(row: Row, head: Head) -> dict[str, Any]:
    """An authorisation with its proof, as names and values."""
    return flat(row) | {"scopes": list(row.scopes), "proof": tlog_proof(row.fact, head)}


def ground_facts(ground: Ground, head: Head) -> dict[str, Any]:
    """On what basis a request ended, as names and values."""
    facts = [
        {"index": f.index, "kind": f.kind, "at_ms": f.at_ms, "says": says(f.content), "proof": tlog_proof(f, head)}
        for f in ground.facts
    ]
    fields: dict[str, Any] = plain(ground)
    return fields | {"authorisation": row_facts(ground.authorisation, head), "facts": facts}


def tlog_proof(fact: Fact, head: Head) -> str:
    """A C2SP tlog-proof; empty where paths were not asked for."""
    size = note.parse_checkpoint(note.split(head.checkpoint)[0]).size
    return proof.write(proof.Proof(fact.index, fact.path, head.checkpoint, fact.leaf)) if fact.path or size == 1 else ""


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV (RFC 4180), header first, times in RFC 3339; a text that a spreadsheet would take for a formula gets an apostrophe."""
    text = io.StringIO(newline="")
    writer, names = csv.writer(text), tuple(columns)
    writer.writerow([name.removesuffix("_ms") for name in names])
    for row in rows:
        writer.writerow([_cell(name, row[name]) for name in names])
    return text.getvalue()


def _cell(name: str, value: Any) -> Any:
    if name.endswith("_ms"):
        return rfc3339(value) if value else ""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def table_schema(columns: Iterable[str]) -> str:
    """The Table Schema (Frictionless) of such a sheet: names and types, in order."""
    fields = [{"name": name.removesuffix("_ms"), "type": _type(name)} for name in columns]
    return json.dumps({"fields": fields, "missingValues": [""]}, indent=1) + "\n"


def _type(name: str) -> str:
    if name.endswith("_ms"):
        return "datetime"
    if name == "in_force":
        return "boolean"
    return "integer" if name.endswith(("_days", "_s", "uses", "_index", "states")) else "string"


def archive(files: Mapping[str, bytes]) -> bytes:
    """These files in one, the same bytes each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def bundle(signed: Signed) -> bytes:
    """A dossier and the log's note over it, in one file."""
    return archive({DOCUMENT: signed.body, NOTE: signed.note.encode()})
