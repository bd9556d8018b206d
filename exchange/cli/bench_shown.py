"""What every `accord bench` command does around its measure: say what goes on, refuse a wrong count, print, keep."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench import report
from bench.load import WrongCount
from bench.report import Contender, Result, Say, Target, Words
from bench.watch import Ended
from exchange.cli import show
from exchange.cli.download import Download
from exchange.embedded.jars import Progress

Repeat = Annotated[
    int,
    typer.Option(
        "--repeat", help="Mesures de chacun, en alternance ; médiane. / Measures of each, in turn; median.", min=1
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Écrire le résultat là : un dossier, ou un fichier .json. / Write the result there: a folder, or a .json file."
    ),
]  # fmt: skip
Measure = Callable[[Say, Progress | None], Coroutine[Any, Any, Result]]

_UNITS: dict[str, Words] = {
    "per_s": ("par s", "per s"),
    "per_cpu_s": ("par s de processeur", "per CPU-s"),
    "s": ("s", "s"),
    "rss_bytes": ("mémoire, octets", "memory, bytes"),
    "size_bytes": ("taille, octets", "size, bytes"),
}


def measured(measure: Measure, out: Path | None, as_json: bool) -> Result:
    """Run it, keep its result where `out` says, print it. Exit code 5 and no figure where an output was missing or wrong."""

    def say(fr: str, en: str) -> None:
        if not as_json:
            show.console.print(f"[dim]{show.tr(fr, en)}…[/]")

    try:
        with Download(shown=not as_json) as progress:
            result = show.run(measure(say, progress), as_json=as_json)
    except (WrongCount, Ended) as error:
        cause = show.tr(f"mesure sans valeur : {error}", f"measure without worth: {error}")
        show.tell("bench_failed", cause, show.tr("ne pas publier de chiffre", "publish no figure"), as_json=as_json)
        raise typer.Exit(show.CORRUPTED) from None
    if out is not None:
        report.write(out if out.suffix == ".json" else out / f"{result.bench}.json", result)
    show.line(**result.as_json()) if as_json else _print(result)
    return result


def _print(result: Result) -> None:
    show.console.print(_table(result))
    for target in result.targets:
        show.console.print(_target(target), soft_wrap=True)
    for remark in result.remarks:
        show.console.print(f"  [yellow]{show.tr(*remark)}[/]", soft_wrap=True)
    load = " → ".join(f"{load:.1f}" for load in result.machine.load_1m)
    show.console.print(show.tr(f"  charge de la machine : {load}", f"  load of the machine: {load}"))


def _table(result: Result) -> Table:
    columns = list(dict.fromkeys(name for contender in result.contenders for name in contender.figures))
    sizes = " · ".join(f"{name} {_number(value)}" for name, value in result.sizes.items())
    headings = [show.tr(*_UNITS.get(name, (words := name.replace("_", " "), words))) for name in columns]
    table = Table("", *headings, title=show.tr(*result.title), caption=sizes)
    for contender in result.contenders:
        table.add_row(_who(contender), *(_number(contender.figures.get(name)) for name in columns))
    return table


def _who(contender: Contender) -> str:
    name = show.tr(*contender.label)
    return f"{name}, {contender.at:,}" if contender.at else name


def _target(target: Target) -> str:
    mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "–"}[target.met]
    bound = "≥" if target.at_least else "≤"
    return f"  {mark} {show.tr(*target.label)} : {_number(target.found)}  ({bound} {_number(target.limit)})"


def _number(value: float | str | None) -> str:
    match value:
        case None:
            return "—"
        case str():
            return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
