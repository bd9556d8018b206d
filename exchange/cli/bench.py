"""`accord bench`: how fast, beside its limit, in the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.gate import Result, Size, run
from bench.load import WrongCount
from bench.watch import Ended, Figures
from exchange.cli import show
from exchange.cli.download import Download
from exchange.cli.options import Json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Mesures côte à côte. / Side-by-side measures.")


@app.callback()
def bench() -> None:
    """Mesures côte à côte. / Side-by-side measures."""


@app.command("gate")
def gate(
    requests: Annotated[int, typer.Option("--requests", help="Demandes. / Requests.", min=1)] = 300_000,
    authorisations: Annotated[
        int, typer.Option("--authorisations", help="Accords au registre. / Agreements in the ledger.", min=2)
    ] = 50_000,
    repeat: Annotated[
        int,
        typer.Option(
            "--repeat", help="Mesures de chacun, en alternance ; médiane. / Measures of each, in turn; median.", min=1
        ),
    ] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", help="Écrire le résultat dans ce fichier. / Write the result there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Le portier face à l'écho brut des mêmes demandes. / The gate beside the raw echo of the same requests."""

    def say(fr: str, en: str) -> None:
        if not as_json:
            show.console.print(f"[dim]{show.tr(fr, en)}…[/]")

    try:
        with Download(shown=not as_json) as progress:
            result = show.run(run(Size(requests, authorisations, repeat), say, progress), as_json=as_json)
    except (WrongCount, Ended) as error:
        cause = show.tr(f"mesure sans valeur : {error}", f"measure without worth: {error}")
        show.tell("bench_failed", cause, show.tr("ne pas publier de chiffre", "publish no figure"), as_json=as_json)
        raise typer.Exit(show.CORRUPTED) from None
    if out is not None:
        out.write_text(json.dumps(result.as_json(), indent=2) + "\n", encoding="utf-8")
    show.line(**result.as_json()) if as_json else show.console.print(_table(result))


def _table(result: Result) -> Table:
    size = result.size
    title = show.tr(
        f"{size.requests} demandes de {result.record_bytes} octets, {size.agreements} accords",
        f"{size.requests} requests of {result.record_bytes} bytes, {size.agreements} agreements",
    )
    table = Table(
        "", show.tr("par seconde", "per second"), show.tr("par seconde de processeur", "per CPU-second"), title=title
    )
    for name, found in ((show.tr("écho brut", "raw echo"), result.echo), (show.tr("portier", "gate"), result.gate)):
        table.add_row(name, *_cells(found))
    table.add_row(show.tr("rapport", "ratio"), f"{result.gate.per_s / result.echo.per_s:.0%}", "")
    return table


def _cells(found: Figures) -> tuple[str, str]:
    return f"{found.per_s:,.0f}", "—" if found.per_cpu_s is None else f"{found.per_cpu_s:,.0f}"
