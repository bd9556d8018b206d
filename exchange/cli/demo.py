"""`accord demo`: the whole story on a real broker, with nothing installed."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import typer

from connectors.core.cases import QUOTIENT_FAMILIAL, Case
from connectors.rest.descriptions import parts_of
from connectors.sandbox import FAMILIES, load_cases
from exchange.cli import show
from exchange.cli.download import Download
from exchange.cli.options import Data, Json
from exchange.cli.story import Step, Story, read_case
from exchange.core.errors import Code
from exchange.data_sets import DATA_SETS
from exchange.data_sets import QUOTIENT_FAMILIAL as QUOTIENT
from exchange.local import client, local_bus
from exchange.settings import Settings

NOT_AS_TOLD = 1


def demo(
    data: Data = None,
    as_json: Json = False,
    cases: Path | None = typer.Option(
        None, "--cases", help="Dossier de cas de l'État. / Folder of State cases.", exists=True, file_okay=False
    ),
    dataset: str | None = typer.Option(
        None, "--dataset", help="Ne dire que les cas d'un jeu de données. / Tell only the cases of a data set."
    ),
) -> None:
    """Raconter un échange, du refus à la preuve. / Tell an exchange, from refusal to proof."""
    try:
        loaded = load_cases(cases or FAMILIES)
        fallback = load_cases(FAMILIES)
    except ValueError as error:
        show.fail(Code.BAD_CASES, str(error), show.USAGE, as_json=as_json)
    if dataset is not None and dataset not in DATA_SETS:
        raise typer.BadParameter(", ".join(DATA_SETS), param_hint="--dataset")
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="accord-demo-")))
        found, spare = (
            [c for c in some if c.status == 200 and c.operation == QUOTIENT_FAMILIAL] for some in (loaded, fallback)
        )
        heroes = found or spare
        sandbox_cases = [cases or FAMILIES] if found else [cases or FAMILIES, FAMILIES]
        asked = _of(dataset or QUOTIENT.name, loaded) if dataset or cases else []
        telling = _tell(folder, heroes[0], sandbox_cases, asked, as_json, dataset)
        good = show.run(telling, as_json=as_json)
    raise typer.Exit(show.OK if good else NOT_AS_TOLD)


def _of(data_set: str, cases: list[Case]) -> list[Case]:
    """The cases of a data set's operations, one for each way of asking: two asked alike could not be told apart."""
    found: list[Case] = []
    for description in parts_of(data_set).values():
        operations = {operation.id for operation in description.operations}
        own = [case for case in cases if case.operation in operations]
        found += [case for at, case in enumerate(own) if all(case.params != other.params for other in own[:at])]
    return found


async def _tell(
    folder: Path, hero: Case, sandbox_cases: list[Path], cases: list[Case], as_json: bool, data_set: str | None
) -> bool:
    started_s, good = monotonic(), True
    settings = Settings()
    with Download(shown=not as_json) as progress:
        async with (
            local_bus(settings, settings.places(folder), cases=sandbox_cases, progress=progress, brief=True) as local,
            client(settings, local.places, local.bootstrap) as bus,
        ):
            _show(_ready(local.bootstrap, monotonic() - started_s), as_json)
            identity, parameters = read_case(hero)
            story = Story(local, bus, identity, parameters, cases)
            story.data_set = data_set or story.data_set
            async for step in story.tell_cases() if data_set else story.tell():
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
