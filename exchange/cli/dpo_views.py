"""What `accord dpo` shows: tables for people, JSON lines and CSV for programs. Values come from `consent.core.query`."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from consent.core import note, told
from consent.core.dossier import plain
from consent.core.query import Breach, Erased, Fact, Found, Grounds, Head, Register, Signed
from exchange.cli import show


def word(value: str) -> str:
    """A word of the ledger in the reader's language."""
    return told.word(value, show.tr)


def found(answer: Found, *, as_json: bool) -> None:
    """A page of authorisations."""
    if as_json:
        for row in answer.rows:
            show.line(**told.row_facts(row, answer.head))
        show.line(total=answer.total, next=answer.next, **told.head_facts(answer.head))
        return
    table = _table(
        show.tr("Inscrit le (UTC)\nÉtat, usages", "Recorded (UTC)\nState, uses"), show.tr("Accord\nDonnées", "Agreement\nData"),
        show.tr("Finalité\nCollectivité", "Purpose\nCollectivity"), show.tr("Recueil\nAgent", "Collected\nAgent"), whole=(0, 1, 2),
    )  # fmt: skip
    for row in answer.rows:
        shade = "dim" if row.state in told.CLOSED else "bold"
        table.add_row(
            f"{told.when(row.at_ms)}\n[{shade}]{word(row.state)}[/] {row.uses}/{row.max_uses}", f"{row.authorisation.hex()}\n[dim]{row.data_set}[/]",
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
            show.line(**told.ground_facts(ground, answer.head))
            continue
        a = ground.authorisation
        legal = f"{word(a.basis)} {a.legal_reference} {a.notice_version}".strip()
        calls = ", ".join(f"{told.when(call.at_ms)} {call.worker}".strip() for call in ground.calls)
        _block(show.tr("Demande", "Request"), {
            show.tr("numéro", "id"): ground.request.hex(), show.tr("issue", "outcome"): f"[bold]{word(ground.code)}[/] {ground.reason}",
            show.tr("décidée le", "decided"): told.when(ground.decided_at_ms), show.tr("remise", "delivery"): word(ground.delivery),
            show.tr("par", "by"): escape(ground.worker.replace("\n", ", ")), show.tr("API appelée", "API called"): escape(calls),
        })  # fmt: skip
        _block(show.tr("sur la base de", "on the basis of"), {
            show.tr("accord", "agreement"): a.authorisation.hex(), show.tr("état", "state"): word(a.state), show.tr("base", "basis"): escape(legal),
            show.tr("finalité", "purpose"): escape(a.purpose), show.tr("données", "data"): f"{a.data_set} : {', '.join(a.scopes)}",
            show.tr("collectivité", "collectivity"): a.recipient, show.tr("valable", "valid"): f"{told.when(a.not_before_ms)} → {told.when(a.not_after_ms)}",
            show.tr("recueil", "collected"): escape(f"{word(a.channel)} {a.agent} ({a.assurance})"),
        })  # fmt: skip
        _facts(ground.facts)
    show.line(**told.head_facts(answer.head)) if as_json else _headline(answer.head)


def breach(answer: Breach, *, as_json: bool) -> None:
    """Whom a breach touched: what must be told to the authority within 72 hours."""
    if as_json:
        for passed in answer.passed:
            show.line(**plain(passed))
        show.line(touched=[plain(touched) for touched in answer.touched], **told.head_facts(answer.head))
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
                told.when(p.from_ms), p.request.hex(), word(p.stage), word(p.delivery) if p.stage == "terminal" else ""
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
        show.line(**told.head_facts(answer.head))
        return
    for activity in answer.activities:
        _block(
            escape(activity.purpose), {name: escape(value) for name, value in told.activity(activity, show.tr).items()}
        )
    _headline(answer.head)


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


def _facts(facts: Iterable[Fact]) -> None:
    table = _table(show.tr("Feuille", "Leaf"), show.tr("Fait prouvé", "Proven fact"), show.tr("Le (UTC)", "At (UTC)"))
    for fact in facts:
        table.add_row(str(fact.index), word(fact.kind), told.when(fact.at_ms))
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
