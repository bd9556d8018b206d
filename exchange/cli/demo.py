"""`accord demo`: the whole story on a real broker, with nothing installed."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import typer

from connectors.core.cases import Case
from connectors.sandbox import FAMILIES, load_cases
from exchange.cli import show
from exchange.cli.download import Download
from exchange.cli.options import Data, Json
from exchange.cli.story import Step, Story, read_case
from exchange.core.errors import Code
from exchange.local import client, local_bus
from exchange.settings import Settings

NOT_AS_TOLD = 1


def demo(
    data: Data = None,
    as_json: Json = False,
    cases: Path | None = typer.Option(
        None, "--cases", help="Dossier de cas de l'État. / Folder of State cases.", exists=True, file_okay=False
    ),
) -> None:
    """Raconter un échange, du refus à la preuve. / Tell an exchange, from refusal to proof."""
    try:
        loaded = load_cases(cases or FAMILIES)
        fallback = load_cases(FAMILIES)
    except ValueError as error:
        show.fail(Code.BAD_CASES, str(error), show.USAGE, as_json=as_json)
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="accord-demo-")))
        found = [case for case in loaded if case.status == 200]
        heroes = found or [case for case in fallback if case.status == 200]
        sandbox_cases = [cases or FAMILIES] if found else [cases or FAMILIES, FAMILIES]
        good = show.run(_tell(folder, heroes[0], sandbox_cases, loaded if cases else [], as_json), as_json=as_json)
    raise typer.Exit(show.OK if good else NOT_AS_TOLD)


async def _tell(folder: Path, hero: Case, sandbox_cases: list[Path], cases: list[Case], as_json: bool) -> bool:
    started_s, good = monotonic(), True
    settings = Settings()
    with Download(shown=not as_json) as progress:
        async with (
            local_bus(settings, settings.places(folder), cases=sandbox_cases, progress=progress, brief=True) as local,
            client(settings, local.places, local.bootstrap) as bus,
        ):
            _show(_ready(local.bootstrap, monotonic() - started_s), as_json)
            identity, parameters = read_case(hero)
            async for step in Story(local, bus, identity, parameters, cases).tell():
                good = good and step.as_told
                _show(step, as_json)
    if not as_json:
        ending = (
            show.tr("Tout s'est passé comme dit.", "Everything went as told.")
            if good
            else show.tr("Une étape n'a pas tenu.", "A step did not hold.")
        )
        show.console.print(f"\n[bold {'green' if good else 'red'}]{ending}[/]  {monotonic() - started_s:.1f} s")
    return good


def _ready(bootstrap: str, took_s: float) -> Step:
    return Step(
        "broker_ready", "ready", True,
        f"Apache Kafka est prêt, sur cette machine seulement ({bootstrap}, {took_s:.1f} s).",
        f"Apache Kafka is ready, on this machine only ({bootstrap}, {took_s:.1f} s).",
        {"kafka": bootstrap, "seconds": round(took_s, 2)},
    )  # fmt: skip


def _show(step: Step, as_json: bool) -> None:
    if as_json:
        show.line(step=step.name, outcome=step.outcome, **step.facts)
        return
    mark = "[green]✓[/]" if step.as_told else "[red]✗[/]"
    show.console.print(
        f"{mark} [bold]{step.name:<25}[/] [cyan]{step.outcome:<9}[/] {show.tr(step.fr, step.en)}", soft_wrap=True
    )
    if "entries" in step.facts:
        for entry in step.facts["entries"]:
            told = (f"{entry['index']:>5}", entry["at"], f"{entry['kind']:<10}", entry["request"][:13], entry["code"])
            show.console.print("   ", *told, soft_wrap=True)
    elif not step.as_told:
        show.console.print(f"    {step.facts}")
