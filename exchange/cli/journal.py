"""`accord journal`: read the access log, purge it with a reason, hold a period. Works beside the worker that writes it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from exchange.cli import show
from exchange.cli.options import Data, Json, parse_id
from exchange.clock import SystemClock
from exchange.journal.store import Filter, Hold, JournalStore, Line, NotAllowed, Purge, Reason
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Le journal des accès, 12 mois. / The access log.")

SHOWN = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = {
    "too_early": (
        "des entrées de moins de 12 mois ne se purgent pas pour la raison « retention »", "entries younger than 12 months are not purged for retention",
        "donner une autre raison, ou une fin plus ancienne", "give another reason, or an earlier end",
    ),
    "unbounded": ("purge ou gel sans bornes", "a purge or hold without bounds", "dire quoi : période, demande, accord…", "say what: period, request, agreement…"),
    "no_author": ("décision sans auteur ou sans motif", "a decision without author or motive", "dire qui par --by, et pourquoi", "say who with --by, and why"),
    "no_hold": ("aucun gel en cours sous ce numéro", "no hold of this number is in force", "les lister : accord journal hold", "list them: accord journal hold"),
    "no_journal": ("pas de journal des accès ici", "no access log here", "choisir --data, ou démarrer le bus (accord dev)", "choose --data, or start the bus (accord dev)"),
}  # fmt: skip


def _moment(text: str) -> int:
    """ISO 8601 as ms; a day or a time without zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(show.tr("date ISO 8601 attendue", "ISO 8601 date expected")) from None
    zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (zoned - _EPOCH) // _MS


def _iso(ms: int | None) -> str:
    try:
        return "" if ms is None else (_EPOCH + ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return str(ms)


_MS = datetime.resolution * 1000


Operator = Annotated[str, typer.Option("--operator", help="SIREN de l'opérateur. / Operator's SIREN.")]
Recipient = Annotated[str, typer.Option("--recipient", help="SIRET de la collectivité. / Recipient's SIRET.")]
Request = Annotated[bytes | None, typer.Option("--request", help="Numéro de demande. / Request id.", parser=parse_id)]
Agreement = Annotated[
    bytes | None, typer.Option("--authorisation", help="Numéro d'accord. / Agreement's id.", parser=parse_id)
]
Since = Annotated[int | None, typer.Option("--since", help="Depuis (ISO 8601, UTC). / From.", parser=_moment)]
Until = Annotated[int | None, typer.Option("--until", help="Avant (ISO 8601, UTC). / Before.", parser=_moment)]
By = Annotated[str, typer.Option("--by", help="Qui décide (fonction). / Who decides (office).")]
Csv = Annotated[bool, typer.Option("--csv", help="CSV sur la sortie. / CSV on standard output.")]


@app.command("show")
def show_(
    operator: Operator = "",
    recipient: Recipient = "",
    request: Request = None,
    authorisation: Agreement = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Les dernières ; 0 : toutes. / The last; 0: all.")
    ] = SHOWN,
    purges: Annotated[bool, typer.Option("--purges", help="Les purges faites. / The purges made.")] = False,
    data: Data = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Qui a demandé quoi, quand, et ce qu'il en fut. / Who asked what, when, and what became of it."""
    wanted = Filter(operator, recipient, request or b"", authorisation or b"", since, until)
    with _store(data, as_json) as store:
        rows = map(_purge, store.purges()) if purges else map(_line, store.show(wanted, limit or None))
        _print(rows, tuple(_PURGE if purges else _LINE), as_csv=as_csv, as_json=as_json)


@app.command("purge")
def purge(
    reason: Annotated[
        Reason, typer.Option("--reason", help="Motif, d'une liste fermée. / Reason, from a closed list.")
    ],
    by: By = "",
    operator: Operator = "",
    recipient: Recipient = "",
    request: Request = None,
    authorisation: Agreement = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Effacer des entrées ; la purge est elle-même consignée. / Remove entries; the purge is itself recorded."""
    within = Filter(operator, recipient, request or b"", authorisation or b"", since, until)
    with _store(data, as_json) as store:
        done = store.purge(SystemClock().now_ms(), reason, by, within)
    if as_json:
        show.line(**_purge(done))
        return
    period = f"{_iso(done.first_ms)} → {_iso(done.last_ms)}" if done.removed else "—"
    show.console.print(
        show.tr(f"{done.removed} entrées effacées ({period}).", f"{done.removed} entries removed ({period}).")
    )
    if done.held:
        show.console.print(show.tr(f"{done.held} gardées par un gel.", f"{done.held} kept by a hold."))


@app.command("hold")
def hold(
    since: Since = None,
    until: Until = None,
    why: Annotated[str, typer.Option("--why", help="Motif. / Why.")] = "",
    by: By = "",
    release: Annotated[int | None, typer.Option("--release", help="Lever ce gel. / Release this hold.")] = None,
    data: Data = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Geler une période, lever un gel, ou les lister. / Hold a period, release a hold, or list them."""
    with _store(data, as_json) as store:
        if release is not None:
            store.release(SystemClock().now_ms(), release, by)
        elif since is not None or until is not None:
            if since is None or until is None:
                raise NotAllowed("unbounded")
            store.hold(SystemClock().now_ms(), since, until, why, by)
        _print(map(_hold, store.holds()), tuple(_HOLD), as_csv=as_csv, as_json=as_json)


@contextmanager
def _store(data: Any, as_json: bool) -> Iterator[JournalStore]:
    """The journal of this data directory; what the rules refuse becomes one clear message and exit code 3."""
    path = Settings().places(data).journal
    if not path.exists():
        _tell("no_journal", show.UNAVAILABLE, as_json)
    try:
        with show.explained(as_json=as_json), closing(JournalStore(path)) as store:
            yield store
    except NotAllowed as refused:
        _tell(refused.code, show.REFUSED, as_json)


def _tell(code: str, exit_code: int, as_json: bool) -> NoReturn:
    cause_fr, cause_en, todo_fr, todo_en = TEXTS[code]
    show.tell(code, show.tr(cause_fr, cause_en), show.tr(todo_fr, todo_en), as_json=as_json)
    raise typer.Exit(exit_code)


_LINE = {
    "at": "Quand", "step": "Étape", "operator": "Opérateur", "recipient": "Collectivité", "origin": "Origine", "request": "Demande",
    "authorisation": "Accord", "data_set": "Jeu de données", "purpose": "Finalité", "code": "Suite", "reason": "Motif",
}  # fmt: skip
_PURGE = {
    "id": "N°", "at": "Quand", "reason": "Motif", "by": "Par", "scope": "Filtres", "since": "Depuis", "until": "Avant", "removed": "Effacées",
    "held": "Gelées", "first": "Première", "last": "Dernière",
}  # fmt: skip
_HOLD = {
    "id": "N°", "at": "Quand", "since": "Depuis", "until": "Avant", "why": "Motif", "by": "Par", "released": "Levé", "released_by": "Levé par",
}  # fmt: skip
_FRENCH = _LINE | _PURGE | _HOLD


def _line(line: Line) -> dict[str, Any]:
    facts = line._asdict() | {
        "at": _iso(line.at_ms),
        "request": line.request.hex(),
        "authorisation": line.authorisation.hex(),
    }
    return {name: facts[name] for name in _LINE}


def _purge(purge: Purge) -> dict[str, Any]:
    return _dated(purge._asdict(), _PURGE)


def _hold(hold: Hold) -> dict[str, Any]:
    return _dated(hold._asdict(), _HOLD)


def _dated(facts: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {name: _iso(facts[name + "_ms"]) if name + "_ms" in facts else facts[name] for name in names}


def _print(rows: Iterator[dict[str, Any]], names: tuple[str, ...], *, as_csv: bool, as_json: bool) -> None:
    """A JSON object a line, CSV with a heading, or a table."""
    if as_json:
        for row in rows:
            show.line(**row)
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        french = show.language() == "fr"
        table = Table(*(_FRENCH[name] if french else name for name in names))
        for row in rows:
            table.add_row(*(str(row[name]) for name in names))
        show.console.print(table)
