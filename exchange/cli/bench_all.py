"""`accord bench all` and `draw`: every bench in a process of its own, then the pages and plots from what they wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bench import page, report, sizing
from bench.report import Result
from exchange.cli import show
from exchange.cli.options import Json

SMALL = {
    "gate": "--requests 2000 --authorisations 200 --no-peers --repeat 1",
    "release": "--answers 400 --authorisations 100 --repeat 1",
    "ledger": "--sizes 5000 --repeat 1",
    "exchange": "--per-s 10 --seconds 2 --last-per-s 0 --repeat 1",
    "withdrawal": "--races 5 --repeat 1",
    "sdk": "--requests 50 --repeat 1",
    "scale": "--authorisations 200,400 --requests 500 --answers 100 --repeat 1",
    "start": "--authorisations 1000 --quick --repeat 1",
}
"""Seconds each, to see that they run; their figures are worth nothing."""

Results = Annotated[
    Path, typer.Option("--results", help="Dossier des résultats. / Folder of the results.", file_okay=False)
]
Docs = Annotated[Path, typer.Option("--docs", help="Dossier des pages. / Folder of the pages.", file_okay=False)]


def everything(
    context: typer.Context,
    only: Annotated[str, typer.Option("--only", help="Celles-ci, par des virgules. / These, by commas.")] = "",
    small: Annotated[
        bool, typer.Option("--small", help="Essai : chiffres sans valeur. / A try: figures worth nothing.")
    ] = False,
    results: Results = Path("bench/results"),
    docs: Docs = Path("docs"),
    as_json: Json = False,
) -> None:
    """Toutes les mesures, l'une après l'autre, puis les pages. / Every bench, one after the other, then the pages."""
    group = context.parent.command if context.parent else None
    known = [name for name in page.COMMANDS if name in getattr(group, "commands", {})]
    chosen = only.split(",") if only else known
    if unknown := ", ".join(name for name in chosen if name not in known):
        raise typer.BadParameter(unknown, param_hint="--only")
    failed = [name for name in chosen if not _run(name, small, results, as_json)]
    draw(results, docs, as_json)
    if failed:
        cause = show.tr(f"sans résultat : {', '.join(failed)}", f"no result: {', '.join(failed)}")
        show.tell("bench_failed", cause, show.tr("voir ci-dessus", "see above"), as_json=as_json)
        raise typer.Exit(show.CORRUPTED)


def _run(name: str, small: bool, results: Path, as_json: bool) -> bool:
    """In a process of its own: none inherits another's memory. Whether it gave a result."""
    words = SMALL.get(name, "") if small else page.COMMANDS[name].partition(f" {name}")[2]
    argv = [sys.executable, "-m", "exchange.cli", "bench", name, *words.split(), "--out", str(results)]
    done = subprocess.run([*argv, *(["--json"] if as_json else [])], check=False)
    return done.returncode == 0


def draw(results: Results = Path("bench/results"), docs: Docs = Path("docs"), as_json: Json = False) -> None:
    """Les pages et leurs dessins, depuis les résultats. / The pages and their plots, from the results."""
    found = _read(results)
    plots = docs / "bench"
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    pages = {"bench.md": page.page(found, plots.name), "scale.md": sizing.page(found)}
    drawn = {plots / name: text for result in found.values() for name, text in page.plots(result).items()}
    for path, text in ({docs / name: text for name, text in pages.items()} | drawn).items():
        path.write_text(text, encoding="utf-8")
    if as_json:
        show.line(pages=[str(docs / name) for name in pages], benches=sorted(found))
    else:
        show.console.print(show.tr(f"{docs}/bench.md, {docs}/scale.md", f"{docs}/bench.md, {docs}/scale.md"))


def _read(results: Path) -> dict[str, Result]:
    """Every result there is; a file that is none is said, and left."""
    found = {}
    for path in sorted(results.glob("*.json")):
        try:
            result = report.read(path)
        except msgspec.DecodeError as error:
            show.errors.print(show.tr(f"{path} : illisible ({error})", f"{path}: unreadable ({error})"), soft_wrap=True)
        else:
            found[result.bench] = result
    return found
