"""The processes of a bus: `accord worker`, `accord identity`, `accord sandbox` (`accord connector run` and `accord portal run` are in their own families)."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from connectors.sandbox import FAMILIES, Sandbox, load_cases
from exchange.cli import show
from exchange.cli.options import Cases, Data, Json, Kafka, Name
from exchange.core.errors import Code
from exchange.places import ROLES, Places
from exchange.settings import Settings


def worker(
    data: Data = None,
    kafka: Kafka = "",
    roles: Annotated[str, typer.Option("--roles", help=",".join(ROLES))] = ",".join(ROLES),
    read_first: Annotated[
        bool,
        typer.Option(
            "--read-first",
            help="Portier : lire tous les accords en vigueur avant la première demande. / Gate: read all agreements in force before the first request.",
        ),
    ] = False,
    as_json: Json = False,
    name: Name = "worker",
) -> None:
    """Faire tourner les agents du bus. / Run the bus's agents."""
    from exchange.roles import run_worker  # Faust takes a second to import

    settings = Settings()
    places = settings.places(data)
    chosen = [role.strip() for role in roles.split(",")]
    if not set(chosen) <= set(ROLES):
        raise typer.BadParameter(", ".join(ROLES), param_hint="--roles")
    with show.explained(as_json=as_json):
        broker = broker_of(kafka, settings, places)
    ready = show.announcer(places, name, as_json)
    show.run(
        run_worker(places, broker, chosen, name, ready, traced=settings.traces, read_first=read_first), as_json=as_json
    )


def sandbox(
    cases: Cases = None,
    port: Annotated[int, typer.Option("--port", help="0: un port libre / a free port", min=0, max=65535)] = 0,
    rate: Annotated[
        int,
        typer.Option("--rate", help="Requêtes par seconde et par jeton ; 0 : sans limite. / Requests a second.", min=0),
    ] = 0,
    data: Data = None,
    as_json: Json = False,
    name: Name = "",
) -> None:
    """Servir un bac à sable des API de l'État. / Serve a sandbox of the State's APIs."""
    places = Settings().places(data)
    try:
        loaded = [case for folder in cases or [FAMILIES] for case in load_cases(folder)]
    except ValueError as error:
        show.fail(Code.BAD_CASES, str(error), show.USAGE, as_json=as_json)
    token = places.token.read_text(encoding="ascii").strip() if name else None

    def announce(url: str) -> None:
        if name:
            places.announce(places.ready(name), url=url, cases=len(loaded), pid=os.getpid())
        elif as_json:
            show.line(url=url, cases=len(loaded))
        else:
            show.console.print(
                show.tr(
                    f"Bac à sable : {url} — {len(loaded)} cas (Ctrl-C pour arrêter)",
                    f"Sandbox: {url} — {len(loaded)} cases (Ctrl-C stops)",
                )
            )

    Sandbox(loaded, port=port or None, token=token, rate_per_s=rate).serve(announce)


def identity(
    port: Annotated[int, typer.Option("--port", help="0: un port libre / a free port", min=0, max=65535)] = 0,
    data: Data = None,
    as_json: Json = False,
    name: Name = "identity",
) -> None:
    """Servir un bac à sable d'identité, à la place de FranceConnect et ProConnect. / Serve an identity sandbox."""
    from portal.identity.process import run_identity_sandbox  # half a second to import

    settings = Settings()
    places = settings.places(data)

    announce = show.serving(places, name, as_json, "Bac à sable d'identité", "Identity sandbox")
    show.run(run_identity_sandbox(places, settings.recipient, port, announce), as_json=as_json)


def broker_of(kafka: str, settings: Settings, places: Places) -> str:
    """The broker given, or that of the bus that runs or starts over this data directory."""
    if kafka or settings.broker:
        return kafka or settings.broker
    return places.awaited(places.broker_ready)["kafka"]
