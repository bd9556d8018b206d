"""`accord facade`: the State's API, at the collectivity, through the bus."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli import show
from exchange.cli.options import Data, Json, Kafka, Name
from exchange.cli.roles import broker_of
from exchange.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="L'API de l'État, chez la collectivité, par le bus. / The State's API, at the collectivity, through the bus.",
)


@app.callback()
def facade() -> None:
    """L'API de l'État, chez la collectivité, par le bus. / The State's API, at the collectivity, through the bus."""


@app.command("run")
def run(
    data: Data = None,
    kafka: Kafka = "",
    port: Annotated[int | None, typer.Option("--port", help="0: un port libre / a free port", min=0, max=65535)] = None,
    as_json: Json = False,
    name: Name = "facade",
) -> None:
    """Répondre comme API Particulier, sous l'accord du citoyen. / Answer like API Particulier, under the citizen's agreement."""
    from portal.facade.process import run_facade  # half a second to import

    settings = Settings()
    places = settings.places(data)
    with show.explained(as_json=as_json):
        broker = broker_of(kafka, settings, places)
    token = places.facade_token(settings.recipient)

    announce = show.serving(places, name, as_json, "Façade", "Façade", token_file=str(token))
    if not as_json:
        show.console.print(show.tr(f"Jeton : {token}", f"Token: {token}"), soft_wrap=True)
    at = settings.facade_port if port is None else port
    show.run(run_facade(places, settings, broker, at, announce), as_json=as_json)
