"""`accord bench`: how fast, beside its limit, in the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.gate import Result, Size, run
from bench.ledger import FULL, SMALL, TARGETS
from bench.ledger import Result as LedgerResult
from bench.ledger import run as run_ledger
from bench.ledger_load import CHUNK, LEAVES_PER_AGREEMENT
from bench.load import WrongCount
from bench.watch import Ended, Figures
from exchange.cli import show
from exchange.cli.download import Download
from exchange.cli.options import Json
from exchange.settings import Settings

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
        _keep(out, result.as_json())
    show.line(**result.as_json()) if as_json else show.console.print(_table(result))


@app.command("ledger")
def ledger(
    sizes: Annotated[
        str, typer.Option("--sizes", help="Tailles du journal, en feuilles. / Sizes of the log, leaves.")
    ] = ",".join(map(str, SMALL)),
    full: Annotated[bool, typer.Option("--full", help="10 000, 1 et 5 millions. / 10,000, 1 and 5 million.")] = False,
    repeat: Annotated[
        int, typer.Option("--repeat", help="Mesures de chacun ; médiane. / Measures of each; median.", min=1)
    ] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", help="Écrire le résultat dans ce fichier. / Write the result there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Le registre face à sa propre base : feuilles, preuves, requêtes. / The ledger beside its own store."""
    chosen = FULL if full else _sizes(sizes)

    def say(fr: str, en: str) -> None:
        if not as_json:
            show.console.print(f"[dim]{show.tr(fr, en)}…[/]")

    result = show.run(run_ledger(chosen, repeat, say, Settings().store), as_json=as_json)
    if out is not None:
        _keep(out, result.as_json())
    if as_json:
        show.line(**result.as_json())
        return
    show.console.print(_stages(result))
    for name, found in result.found().items():
        show.console.print(
            f"  {show.tr(*_TARGETS[name])} : {found:,.2f}  ({show.tr('cible', 'target')} {TARGETS[name]:,g})"
        )
    load = " → ".join(f"{load:.1f}" for load in result.load)
    show.console.print(show.tr(f"  charge de la machine : {load}", f"  load of the machine: {load}"))


_TARGETS = {
    "append_per_s": ("feuilles/s, au moins", "leaves/s, at least"),
    "proof_p99_ms": ("preuve, ms au centile 99, au plus", "proof, ms at the 99th percentile, at most"),
    "query_p99_ms": ("requête DPO, ms au centile 99, au plus", "DPO query, ms at the 99th percentile, at most"),
    "growth": ("coût d'une feuille, de la plus petite taille à la plus grande, au plus", "a leaf's cost, largest size to smallest, at most"),
}  # fmt: skip


def _sizes(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(size) for size in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < CHUNK * LEAVES_PER_AGREEMENT:
        raise typer.BadParameter(
            show.tr(
                f"au moins {CHUNK * LEAVES_PER_AGREEMENT}, séparées par des virgules",
                f"at least {CHUNK * LEAVES_PER_AGREEMENT} each, by commas",
            ),
            param_hint="--sizes",
        )
    return found


def _stages(result: LedgerResult) -> Table:
    title = show.tr(
        f"{result.store}, lots de {CHUNK}, lignes de {result.leaf_bytes} octets",
        f"{result.store}, chunks of {CHUNK}, rows of {result.leaf_bytes} bytes",
    )
    tr = show.tr
    table = Table(
        tr("feuilles", "leaves"), tr("feuilles/s", "leaves/s"), tr("lignes nues/s", "bare rows/s"), tr("preuve", "proof"),
        tr("personne", "person"), tr("jour", "day"), title=title,
        caption=tr("par seconde (par seconde de processeur) ; ms : médiane, centile 99", "a second (a CPU-second); ms: median, 99th percentile"),
    )  # fmt: skip
    for stage in result.stages:
        rates = [f"{rate.per_s:,.0f} ({rate.per_cpu_s:,.0f})" for rate in (stage.append, stage.bulk)]
        spreads = [f"{s.p50:.1f}, {s.p99:.1f}" for s in (stage.proof_ms, stage.subject_ms, stage.day_ms)]
        table.add_row(f"{stage.leaves:,}", *rates, *spreads)
    return table


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


def _keep(out: Path, figures: dict[str, object]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
