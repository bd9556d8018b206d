"""`accord dev`: everything up until Ctrl-C, for developers."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from exchange.cli import show
from exchange.cli.download import Download
from exchange.cli.options import Cases, Data, Json
from exchange.nursery import Nursery, start_nursery
from exchange.ports import Refused, Unavailable
from exchange.settings import Settings
from exchange.stopping import stopping

if TYPE_CHECKING:
    from exchange.local import LocalBus

PARTS = (
    "broker", "ledger", "journal", "connectors", "collectivities", "portal", "identity", "run", "traces", "trust.json", "issuers.json",
    "identity.json",
)  # fmt: skip


def dev(
    data: Data = None,
    as_json: Json = False,
    cases: Cases = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Ne rien garder. / Keep nothing.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Repartir de zéro. / Start afresh.")] = False,
    seed: Annotated[
        bool, typer.Option("--seed/--no-seed", help="Quelques accords fictifs. / A few fictitious agreements.")
    ] = True,
) -> None:
    """Tout faire tourner jusqu'à Ctrl-C. / Keep everything up until Ctrl-C."""
    started_s, settings = monotonic(), Settings()
    with ExitStack() as stack:
        folder = data or settings.data
        if ephemeral:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="accord-dev-")))
        elif reset:
            clear(folder)
        nursery = start_nursery(settings.places(folder))  # it imports while we do
        show.run(_serve(settings, folder, cases or [], as_json, seed, nursery, started_s), as_json=as_json)


def clear(folder: Path) -> None:
    """Only what is ours in the folder."""
    for part in PARTS:
        path = folder / part
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


async def _serve(
    settings: Settings,
    folder: Path,
    cases: list[Path],
    as_json: bool,
    seed: bool,
    nursery: Nursery | None,
    started_s: float,
) -> None:
    from exchange.local import local_bus  # half a second to import, and its helpers may start meanwhile

    places = settings.places(folder)
    with Download(shown=not as_json) as progress:
        async with local_bus(settings, places, cases=cases, progress=progress, portal=True, nursery=nursery) as local:
            stop = stopping()
            if as_json:
                show.line(**local.addresses())
            else:
                _screen(local, cases, monotonic() - started_s)
            sowing = asyncio.create_task(_sow(settings, local)) if seed else None
            await stop.wait()
            if sowing is not None:
                sowing.cancel()
                await asyncio.wait([sowing])
    if not as_json:
        show.console.print(show.tr("Arrêté ; rien ne tourne plus.", "Stopped; nothing is left running."))


async def _sow(settings: Settings, local: LocalBus) -> None:
    """Fill a sandbox while it already serves; what goes wrong is told in a line, and nothing else stops."""
    from exchange.cli.seeding import Seed
    from exchange.local import client
    from portal.identity.process import reference_of_agent

    done, officer = local.places.run / "seed.json", local.places.run / "officer.json"
    done.unlink(missing_ok=True)
    try:
        async with client(settings, local.places, local.bootstrap) as bus:
            seed, reference = Seed(local.ledger, bus), reference_of_agent(local.places, "officer")
            if not officer.exists() or json.loads(officer.read_bytes())["reference"] != reference:
                await seed.appoint(reference)  # the sandbox may have moved to another port: another issuer
                local.places.announce(officer, reference=reference)
            local.places.announce(done, new=await seed.sow())
    except (Unavailable, Refused, ValueError) as error:
        structlog.get_logger().warning("not_seeded", error=type(error).__name__)


def _screen(local: LocalBus, cases: list[Path], took_s: float) -> None:
    from connectors.sandbox import FAMILIES, load_cases
    from exchange.data_sets import DATA_SETS
    from exchange.schemas import catalogue

    families = sum(len(load_cases(folder)) for folder in cases or [FAMILIES])
    title = show.tr(
        "Accord 0.1 — bac à sable, ne pas utiliser en production", "Accord 0.1 — sandbox, not for production"
    )
    ready = show.tr(f"prêt en {took_s:.1f} s".replace(".", ","), f"ready in {took_s:.1f} s")
    at = local.addresses()
    rows = [
        (show.tr("Portail", "Portal"), f"{at['portal']}  ({show.tr('commencez ici', 'start here')})"),
        ("Console", at["console"]),
        ("API", f"{at['api']}/openapi.json"),
        (show.tr("Démarches", "Services"), at["demarche"]),
        ("Kafka", local.bootstrap),
        (show.tr("API de l'État", "State API"), f"{local.sandbox_url}  ({show.tr('bac à sable', 'sandbox')})"),
        (show.tr("Données", "Data"), str(local.places.root)),
    ]
    show.console.print(f"\n  [bold]{title}[/]   [green]{ready}[/]")
    for notice in local.notices:  # French, then English, a line each
        show.console.print(f"  [yellow]{show.tr(*notice.splitlines()[:2])}[/]", soft_wrap=True)
    for name, value in rows:
        show.console.print(f"  {name:<15}{value}", soft_wrap=True)
    counts = show.tr(
        f"Schémas {len(catalogue().codecs)} · Jeux de données {len(DATA_SETS)} · Familles fictives {families}",
        f"Schemas {len(catalogue().codecs)} · Data sets {len(DATA_SETS)} · Fictitious families {families}",
    )
    show.console.print(
        f"  {counts}\n  {show.tr('Essayez', 'Try')} :  accord demo      {show.tr('Ctrl-C pour arrêter', 'Ctrl-C stops')}\n"
    )
