"""`accord connector`: the connectors to State APIs — run one, write one, hold one to its promises, see how its provider is."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from exchange.cli import show
from exchange.cli.options import Cases, Data, Json, Kafka, Name
from exchange.cli.roles import broker_of
from exchange.core.errors import Code
from exchange.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Connecteurs aux API de l'État. / Connectors to State APIs."
)


@app.callback()
def connectors() -> None:
    """Connecteurs aux API de l'État. / Connectors to State APIs."""


@app.command("run")
def run(
    names: Annotated[list[str], typer.Argument(help="cnaf… | FICHIER.py / FILE.py")],
    data: Data = None,
    kafka: Kafka = "",
    url: Annotated[str, typer.Option("--url", help="Adresse de l'API de l'État. / Base URL of the State API.")] = "",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Fichier du jeton. / File of the token.")
    ] = None,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Sans limite de débit : bac à sable. / No rate limit: a sandbox.")
    ] = False,
    as_json: Json = False,
    name: Name = "",
) -> None:
    """Répondre pour des fournisseurs. / Answer for providers."""
    from connectors.rest.access import read_account
    from connectors.sdk.declare import BadConnector
    from connectors.sdk.providers import service
    from exchange.connector_process import run_connectors  # Faust takes a second to import

    settings = Settings()
    places = settings.places(data)
    path = token_file or settings.state_api_token_file or places.token
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        show.fail(Code.NO_TOKEN, f"{path}: {error.strerror}", show.USAGE, as_json=as_json)
    with show.explained(as_json=as_json):
        broker = broker_of(kafka, settings, places)
        places.awaited(places.ready("ledger"))
        base_url = url or settings.state_api_url or places.awaited(places.ready("sandbox"))["url"]
        file = settings.dgfip_account_file
        account = read_account(file, settings.dgfip_url) if file else None
    try:
        services = [service(each, base_url, token, account=account) for each in names]
    except (BadConnector, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="NAMES") from None
    if no_limits:
        services = [replace(each, limits={}, rate="") for each in services]
    process = name or f"connector-{services[0].provider}"
    ready = show.announcer(places, process, as_json)
    show.run(run_connectors(places, broker, services, process, ready, traced=settings.traces), as_json=as_json)


@app.command("health")
def health(data: Data = None, as_json: Json = False) -> None:
    """Dire comment vont les fournisseurs. / Say how the providers are."""
    for file in sorted(Settings().places(data).run.glob("*.health.json")):
        seen = json.loads(file.read_text(encoding="utf-8"))
        if as_json:
            show.line(**seen)
        else:
            mark = "[green]✓[/]" if seen["status"] == "ok" else "[yellow]![/]"
            last = seen["last_ok_status"] or "-"
            show.console.print(f"{mark} {seen['provider']:<16} {seen['status']:<12} ok: {last}")


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Dossier à créer. / Folder to make.")],
    data_set: Annotated[
        str, typer.Option("--data-set", help="Jeu de données du catalogue. / Data set of the catalogue.")
    ] = "cnaf.quotient-familial.v1",
    as_json: Json = False,
) -> None:
    """Écrire les premiers fichiers d'un connecteur. / Write a connector's first files."""
    from connectors.sdk.scaffold import files

    try:
        made = files(Path(name).name, data_set)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
    folder = Path(name)
    if folder.exists():
        raise typer.BadParameter(show.tr(f"{folder} existe déjà", f"{folder} exists"), param_hint="NAME")
    for path, text in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    if as_json:
        show.line(folder=str(folder), files=sorted(made))
    else:
        show.console.print(f"{folder}/  {', '.join(sorted(made))}\n→ accord connector test {folder}/connector.py")


@app.command("test")
def held_to_promises(
    name: Annotated[str, typer.Argument(help="cnaf… | FICHIER.py / FILE.py")],
    cases: Cases = None,
    as_json: Json = False,
) -> None:
    """Tenir un connecteur à ses promesses. / Hold a connector to its promises."""
    from connectors.sandbox import FAMILIES, load_cases
    from connectors.sdk.declare import BadConnector
    from connectors.sdk.kit.examine import examine

    beside = Path(name).parent / "cases"
    try:
        folders = cases or ([beside] if beside.is_dir() else [])
        loaded = [case for folder in (*folders, FAMILIES) for case in load_cases(folder)]
        results = asyncio.run(examine(name, loaded))
    except (BadConnector, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
    for result in results:
        if as_json:
            show.line(**result.facts(show.language()))
        else:
            mark = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]–[/]"}[result.verdict]
            why = f"\n    → {escape(result.seen)}" if result.seen else ""
            sentence = show.tr(result.promise.fr, result.promise.en)
            show.console.print(f"{mark} {result.data_set}  {sentence}{why}", soft_wrap=True)
    failed = sum(result.verdict == "failed" for result in results)
    if not as_json:
        passed = sum(result.verdict == "passed" for result in results)
        show.console.print(show.tr(f"{passed} promesses tenues, {failed} rompues", f"{passed} kept, {failed} broken"))
    raise typer.Exit(show.REFUSED if failed else show.OK)
