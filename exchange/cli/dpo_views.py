"""What `accord dpo` shows: tables for people, JSON lines and CSV for programs. Values come from `consent.core.query`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Container, Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from consent.core import note, proof
from consent.core.dossier import plain, says
from consent.core.query import (
    Activity,
    Breach,
    Erased,
    Fact,
    Found,
    Ground,
    Grounds,
    Head,
    Register,
    Row,
    Signed,
)
from exchange.cli import show
from exchange.core.rendering import rfc3339

_WORDS = {
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
    "attempt": ("appel", "call"), "terminal": ("issue", "outcome"),
}  # fmt: skip
COLUMNS = (*(name for name in Row.__struct_fields__ if name != "fact"), "leaf_index")
_CLOSED = frozenset({"refused", "opposed", "withdrawn", "erased", "invalidated", "ended"})


def word(value: str) -> str:
    """A word of the ledger in the reader's language."""
    return show.tr(*_WORDS.get(value, (value, value)))


def when(ms: int) -> str:
    """To the minute, UTC."""
    return rfc3339(ms)[:16].replace("T", " ") if ms else "–"


def found(answer: Found, *, as_json: bool) -> None:
    """A page of authorisations."""
    if as_json:
        for row in answer.rows:
            show.line(**_row(row, answer.head))
        show.line(total=answer.total, next=answer.next, **head_facts(answer.head))
        return
    table = _table(
        show.tr("Inscrit le (UTC)\nÉtat, usages", "Recorded (UTC)\nState, uses"), show.tr("Accord\nDonnées", "Agreement\nData"),
        show.tr("Finalité\nCollectivité", "Purpose\nCollectivity"), show.tr("Recueil\nAgent", "Collected\nAgent"), whole=(0, 1, 2),
    )  # fmt: skip
    for row in answer.rows:
        shade = "dim" if row.state in _CLOSED else "bold"
        table.add_row(
            f"{when(row.at_ms)}\n[{shade}]{word(row.state)}[/] {row.uses}/{row.max_uses}", f"{row.authorisation.hex()}\n[dim]{row.data_set}[/]",
            f"{escape(row.purpose)}\n[dim]{row.recipient}[/]", f"{word(row.channel)}\n[dim]{escape(row.agent)}[/]",
        )  # fmt: skip
    if answer.rows:
        show.console.print(table, "")
    many = answer.total != 1
    show.console.print(show.tr(
        f"[bold]{answer.total}[/] accord{'s' * many} en tout", f"[bold]{answer.total}[/] agreement{'s' * many} in all"))  # fmt: skip
    _headline(answer.head)
    if answer.next:
        show.console.print(show.tr(f"Suite : --after {answer.next}", f"More: --after {answer.next}"), soft_wrap=True)


def grounds(answer: Grounds, *, as_json: bool) -> None:
    """On what basis requests ended."""
    for ground in answer.grounds:
        if as_json:
            show.line(**_ground(ground, answer.head))
            continue
        a = ground.authorisation
        legal = f"{word(a.basis)} {a.legal_reference} {a.notice_version}".strip()
        calls = ", ".join(f"{when(call.at_ms)} {call.worker}".strip() for call in ground.calls)
        _block(show.tr("Demande", "Request"), {
            show.tr("numéro", "id"): ground.request.hex(), show.tr("issue", "outcome"): f"[bold]{word(ground.code)}[/] {ground.reason}",
            show.tr("décidée le", "decided"): when(ground.decided_at_ms), show.tr("remise", "delivery"): word(ground.delivery),
            show.tr("par", "by"): escape(ground.worker.replace("\n", ", ")), show.tr("API appelée", "API called"): escape(calls),
        })  # fmt: skip
        _block(show.tr("sur la base de", "on the basis of"), {
            show.tr("accord", "agreement"): a.authorisation.hex(), show.tr("état", "state"): word(a.state), show.tr("base", "basis"): escape(legal),
            show.tr("finalité", "purpose"): escape(a.purpose), show.tr("données", "data"): f"{a.data_set} : {', '.join(a.scopes)}",
            show.tr("collectivité", "collectivity"): a.recipient, show.tr("valable", "valid"): f"{when(a.not_before_ms)} → {when(a.not_after_ms)}",
            show.tr("recueil", "collected"): escape(f"{word(a.channel)} {a.agent} ({a.assurance})"),
        })  # fmt: skip
        _facts(ground.facts)
    show.line(**head_facts(answer.head)) if as_json else _headline(answer.head)


def breach(answer: Breach, *, as_json: bool) -> None:
    """Whom a breach touched: what must be told to the authority within 72 hours."""
    if as_json:
        for passed in answer.passed:
            show.line(**plain(passed))
        show.line(touched=[plain(touched) for touched in answer.touched], **head_facts(answer.head))
        return
    table = _table(show.tr("Collectivité", "Collectivity"), show.tr("Personnes", "Persons"), show.tr("Accords", "Agreements"),
                   show.tr("Demandes", "Requests"))  # fmt: skip
    for touched in answer.touched:
        table.add_row(touched.recipient, str(touched.subjects), str(touched.authorisations), str(touched.requests))
    if answer.touched:
        show.console.print(table, "")
        listed = _table(
            show.tr("Passée le (UTC)", "Passed (UTC)"),
            show.tr("Demande", "Request"),
            "",
            show.tr("Remise", "Delivery"),
            whole=(1,),
        )
        for p in answer.passed:
            listed.add_row(
                when(p.from_ms), p.request.hex(), word(p.stage), word(p.delivery) if p.stage == "terminal" else ""
            )
        show.console.print(listed, "")
    else:
        show.console.print(show.tr("Rien n'est passé par là.", "Nothing passed through it."))
    _headline(answer.head)


def register(answer: Register, *, as_json: bool) -> None:
    """The register of processing."""
    if as_json:
        for activity in answer.activities:
            show.line(**plain(activity))
        show.line(**head_facts(answer.head))
        return
    for activity in answer.activities:
        _block(escape(activity.purpose), {name: escape(value) for name, value in _told(activity).items()})
    _headline(answer.head)


def markdown(answer: Register) -> str:
    """The register as a document."""
    title = show.tr("Registre des activités de traitement", "Register of processing activities")
    parts = [f"# {title}"]
    for activity in answer.activities:
        lines = [f"- **{name}** : {value}" for name, value in _told(activity).items()]
        parts.append("\n".join([f"## {activity.purpose} — {activity.controller}", "", *lines]))
    parts.append(f"```\n{answer.head.checkpoint}```")
    return "\n\n".join(parts)


def _told(activity: Activity) -> dict[str, str]:
    shortest, longest = activity.retention_days
    days = str(longest) if shortest == longest else f"{shortest}-{longest}"
    end = when(activity.not_after_ms) if activity.in_force else show.tr("terminée", "over")
    states = ", ".join(f"{word(state)} {count}" for state, count in sorted(activity.states.items()))
    return {
        show.tr("responsable", "controller"): activity.controller,
        show.tr("sous-traitants", "processors"): ", ".join(activity.processors) or "–",
        show.tr("données", "data"): f"{activity.data_set} : {activity.title}",
        show.tr("catégories", "categories"): " ; ".join(doc.rstrip(".") or scope for scope, doc in activity.categories)
        or "–",
        show.tr("source", "source"): activity.source,
        show.tr("base", "basis"): ", ".join(filter(None, (activity.legal_reference, *map(word, activity.bases)))),
        show.tr("habilitation", "habilitation"): end,
        show.tr("conservation", "retention"): show.tr(f"{days} jours", f"{days} days") if longest else "–",
        show.tr("accords", "agreements"): states or "0",
    }


def dossier(signed: Signed) -> None:
    """What a dossier holds, in short: the person, the agreements, how often they served."""
    body = json.loads(signed.body)
    person = body["person"] or {}
    _block(show.tr("Personne", "Person"), {
        name: escape(" ".join(value) if isinstance(value, list) else value) for name, value in person.items() if value
    } | {show.tr("référence", "reference"): body["subject"]})  # fmt: skip
    table = _table(
        show.tr("Accord", "Agreement"),
        show.tr("État", "State"),
        show.tr("Finalité", "Purpose"),
        show.tr("Demandes", "Requests"),
    )
    for a in body["authorisations"]:
        table.add_row(a["authorisation"], word(a["state"]), escape(a["purpose"]), str(len(a["requests"])))
    show.console.print(table, "")
    facts, questions = len(body["facts"]), len(body["questions"])
    show.console.print(show.tr(
        f"{facts} faits prouvés, dont {questions} consultations ; le dossier entier : --output FICHIER.zip",
        f"{facts} proven facts, {questions} of them questions; the whole dossier: --output FILE.zip"))  # fmt: skip


def erased(answer: Erased, *, as_json: bool) -> None:
    """The certificate, as a file would hold it."""
    if as_json:
        show.line(certificate=answer.certificate, acknowledgements=answer.acknowledgements)
        return
    show.errors.print(show.tr("Effacé. Les anciens reçus restent vérifiables.", "Erased. Old receipts still verify."))
    print(answer.certificate, end="")


def verified(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """A document that holds."""
    if as_json:
        show.line(ok=True, **facts)
        return
    show.console.print(show.tr(
        f"[bold]intact[/] : {facts['document']}, {facts['facts']} faits, journal {facts['origin']} à {facts['size']} feuilles",
        f"[bold]sound[/]: {facts['document']}, {facts['facts']} facts, log {facts['origin']} at {facts['size']} leaves"), soft_wrap=True)  # fmt: skip


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


def csv_out(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """CSV (RFC 4180) on standard output, times in RFC 3339; a text that a spreadsheet would take for a formula gets an apostrophe."""
    writer = csv.writer(sys.stdout)
    writer.writerow([name.removesuffix("_ms") for name in columns])
    for row in rows:
        writer.writerow([_cell(name, row[name]) for name in columns])


def _cell(name: str, value: Any) -> Any:
    if name.endswith("_ms"):
        return rfc3339(value) if value else ""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def head_facts(head: Head) -> dict[str, Any]:
    """What an answer is complete against."""
    return {"checkpoint": head.checkpoint, "query_leaf": head.leaf_index, "recipients": list(head.recipients)}


def _row(row: Row, head: Head) -> dict[str, Any]:
    return flat(row) | {"scopes": list(row.scopes), "proof": _proof(row.fact, head)}


def _ground(ground: Ground, head: Head) -> dict[str, Any]:
    facts = [
        {"index": f.index, "kind": f.kind, "at_ms": f.at_ms, "says": says(f.content), "proof": _proof(f, head)}
        for f in ground.facts
    ]
    fields: dict[str, Any] = plain(ground)
    return fields | {"authorisation": _row(ground.authorisation, head), "facts": facts}


def _proof(fact: Fact, head: Head) -> str:
    """A C2SP tlog-proof; empty where paths were not asked for."""
    size = note.parse_checkpoint(note.split(head.checkpoint)[0]).size
    return proof.write(proof.Proof(fact.index, fact.path, head.checkpoint, fact.leaf)) if fact.path or size == 1 else ""


def _facts(facts: Iterable[Fact]) -> None:
    table = _table(show.tr("Feuille", "Leaf"), show.tr("Fait prouvé", "Proven fact"), show.tr("Le (UTC)", "At (UTC)"))
    for fact in facts:
        table.add_row(str(fact.index), word(fact.kind), when(fact.at_ms))
    show.console.print(table, "")


def _headline(head: Head) -> None:
    """Complete against what, and where the question itself is."""
    checkpoint = note.parse_checkpoint(note.split(head.checkpoint)[0])
    scope = ", ".join(head.recipients) or show.tr("toutes les collectivités", "all collectivities")
    show.console.print(show.tr(
        f"[dim]Complet pour {scope} à la tête {checkpoint.size} de {checkpoint.origin} ; consultation inscrite : feuille {head.leaf_index}[/]",
        f"[dim]Complete for {scope} at head {checkpoint.size} of {checkpoint.origin}; question recorded: leaf {head.leaf_index}[/]"))  # fmt: skip


def _block(title: str, facts: Mapping[str, str]) -> None:
    show.console.print(f"[bold]{title}[/]")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(f"  {name}", value)
    show.console.print(grid, "")


def _table(*columns: str, whole: Container[int] = (0,)) -> Table:
    """A table whose columns `whole` are never broken: they hold what is copied."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place in whole)
    return table
