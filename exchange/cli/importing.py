"""`accord consent import`: consents given elsewhere, recorded under what they say, or refused with every reason why not."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml

from consent.client import connect
from consent.core.facts import Evidence
from consent.core.importing import TEXTS, Draft, Imported, Known, Names, authorisation, parse, read
from exchange.cli import show
from exchange.cli.collecting import read_vetted
from exchange.cli.options import Data, Json
from exchange.clock import SystemClock
from exchange.core.identity import Identity
from exchange.core.referentials import PURPOSES
from exchange.core.rendering import rfc3339
from exchange.data_sets import DATA_SETS
from exchange.introduction import open_wallet, record
from exchange.settings import Settings

Mapping = Annotated[
    Path | None,
    typer.Option(
        "--mapping", help="YAML : noms d'ailleurs → les nôtres. / YAML: names elsewhere → ours.", dir_okay=False
    ),
]


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Accord JSON-LD 27560 ou artefact Account Aggregator, ou -. / Artefact, or -", allow_dash=True
        ),
    ],
    identity: Annotated[
        Path | None,
        typer.Option(
            "--identity", help="La personne, fichier JSON ou -. / The person, JSON file or -", allow_dash=True
        ),
    ] = None,
    mapping: Mapping = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Lire sans rien enregistrer. / Record nothing.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Reprendre un accord recueilli ailleurs, ou dire pourquoi non. / Take over a consent given elsewhere, or say why not."""
    artefact, names = _bytes(file), _names(mapping)
    settings = Settings()
    known = Known(settings.recipient, {*PURPOSES, *names.purposes.values()}, DATA_SETS, SystemClock().now_ms())
    found = read(parse(artefact), names, known)
    if found.reasons:
        _refused(found, as_json)
    hashed = hashlib.sha256(artefact).digest()
    if not dry_run:
        if identity is None or str(identity) == str(file) == "-":
            raise typer.BadParameter(
                show.tr("dire qui, dans un fichier à part", "say who, in a file of its own"), param_hint="--identity"
            )
        with show.explained(as_json=as_json):
            who = read_vetted(identity, settings.places(data).root)
        show.run(_record(settings, data, found, hashed, who), as_json=as_json)
    for place, draft in enumerate(found.drafts):
        _told(authorisation(hashed, place), draft, found.format, "importable" if dry_run else "imported", as_json)


async def _record(settings: Settings, data: Path | None, found: Imported, hashed: bytes, who: Identity) -> None:
    """Each draft under the id that follows from the artefact: importing it again finds it there."""
    places = settings.places(data)
    ledger = connect(places.socket)
    wallet = open_wallet(places, settings)
    for place, draft in enumerate(found.drafts):
        evidence = Evidence(draft.channel, _declared(found.format, draft), hashed)
        await record(ledger, wallet, authorisation(hashed, place), draft.terms, who, evidence)


def _declared(format_: str, draft: Draft) -> str:
    """What the ledger and its receipts say of the source: declared, since nobody here can check its word or its signature."""
    return f"import:{format_}:" + ("signature-unchecked" if draft.signed else "declared")


def _told(consent: bytes, draft: Draft, format_: str, outcome: str, as_json: bool) -> None:
    terms = draft.terms
    facts: dict[str, Any] = {
        "outcome": outcome, "consent": consent.hex(), "format": format_, "evidence": _declared(format_, draft), "channel": draft.channel,
        "data_set": terms.data_set, "purpose": terms.purpose, "scopes": list(terms.scopes), "not_before": rfc3339(terms.not_before_ms),
        "not_after": rfc3339(terms.not_after_ms), "max_uses": terms.max_uses, "data_life_days": terms.data_life_days,
    }  # fmt: skip
    if as_json:
        show.line(**facts)
        return
    for name, value in facts.items():
        show.console.print(f"[bold]{name:>14}[/]  {value}")


def _refused(found: Imported, as_json: bool) -> None:
    """Every reason at once."""
    reasons = [{"code": r.code.value, "field": r.field, "cause": show.tr(*TEXTS[r.code])} for r in found.reasons]
    if as_json:
        show.line(error="import_refused", format=found.format, reasons=reasons)
    else:
        show.errors.print(show.tr("Cet accord ne peut pas être repris :", "This consent cannot be taken over:"))
        for reason in reasons:
            show.errors.print(f"  [bold red]{reason['code']}[/]  {reason['field']}  {reason['cause']}", soft_wrap=True)
    raise typer.Exit(show.REFUSED)


def _bytes(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError:
        raise typer.BadParameter(show.tr("fichier illisible", "unreadable file"), param_hint="FILE") from None


def _names(mapping: Path | None) -> Names:
    """`purposes`, `data_sets`, `recipients`: a name each; `scopes`: a list for each."""
    if mapping is None:
        return Names()
    try:
        return msgspec.convert(yaml.safe_load(mapping.read_bytes()) or {}, Names)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        raise typer.BadParameter(
            show.tr(
                "table purposes/data_sets/scopes/recipients attendue",
                "a table purposes/data_sets/scopes/recipients is expected",
            ),
            param_hint="--mapping",
        ) from None
