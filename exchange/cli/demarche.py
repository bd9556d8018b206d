"""`accord demarche`: the collectivity's own example téléservices, in a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli import show
from exchange.cli.options import Data, Json, Kafka, Name
from exchange.cli.roles import broker_of
from exchange.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Démarches d'exemple d'une collectivité. / Example services of a collectivity.",
)


@app.callback()
def demarche() -> None:
    """Démarches d'exemple d'une collectivité. / Example services of a collectivity."""


@app.command("run")
def run(
    port: Annotated[int, typer.Option("--port", help="0: un port libre / a free port", min=0, max=65535)] = 0,
    data: Data = None,
    kafka: Kafka = "",
    as_json: Json = False,
    name: Name = "demarche",
) -> None:
    """Servir les démarches : crèche, cantine, marché public. / Serve the services: crèche, school meals, public contract."""
    from portal.demarches.app import run_demarches  # half a second to import

    settings = Settings()
    places = settings.places(data)
    with show.explained(as_json=as_json):
        broker = "" if settings.url and not kafka else broker_of(kafka, settings, places)

    announce = show.serving(places, name, as_json, "Démarches", "Services")
    show.run(run_demarches(places, settings, broker, port, announce), as_json=as_json)
