"""`accord ledger`: run the ledger's process, verify the log, show its head."""

from __future__ import annotations

from typing import Annotated

import typer

from consent.client import connect, hang_up
from consent.core import note
from consent.keys import open_keys
from consent.ledger import Ledger
from consent.process import run_ledger
from consent.stores.engine import open_sqlite
from exchange.cli import show
from exchange.cli.options import Data, Json, Name
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.introduction import introduce, open_wallet
from exchange.places import Places
from exchange.settings import Settings
from exchange.trust import Trust

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Le registre des accords. / The consent ledger.")


@app.command("run")
def run(
    data: Data = None, origin: Annotated[str, typer.Option("--origin")] = "", as_json: Json = False, name: Name = "ledger"
) -> None:
    """Faire tourner le registre, seul maître de ses clés. / Run the ledger, sole owner of its keys."""
    settings = Settings()
    places = settings.places(data)
    show.run(run_ledger(places, origin or settings.origin, show.announcer(places, name, as_json)), as_json=as_json)


@app.command("verify")
def verify(data: Data = None, as_json: Json = False) -> None:
    """Recalculer le journal depuis ses feuilles. / Recompute the log from its leaves."""
    places = Settings().places(data)
    problems, text = show.run(_verify(places, as_json), as_json=as_json)
    try:
        head = note.parse_checkpoint(note.verify(text, Trust.load(places.trust).log))
    except note.BadNote:
        show.fail(Code.BAD_CHECKPOINT, str(places.trust), show.CORRUPTED, as_json=as_json)
    if as_json:
        show.line(ok=not problems, problems=problems, size=head.size, root=head.root, origin=head.origin)
    else:
        found = show.tr("le journal est intact", "the log is sound") if not problems else "\n".join(problems)
        show.console.print(f"{found}\n{head.origin}  {head.size}  {head.root.hex()}", soft_wrap=True)
    raise typer.Exit(show.CORRUPTED if problems else show.OK)


@app.command("checkpoint")
def checkpoint(data: Data = None, as_json: Json = False) -> None:
    """Montrer la tête signée du journal. / Show the signed head of the log."""
    _, text = show.run(_verify(Settings().places(data), as_json), as_json=as_json)
    show.line(checkpoint=text) if as_json else print(text, end="")


@app.command("introduce")
def introduce_(data: Data = None, as_json: Json = False) -> None:
    """Faire connaître au registre les fournisseurs et la collectivité de ce dossier. / Make this directory's providers and
    collectivity known to the ledger: keys in the directory, delegation, habilitations."""
    settings = Settings()
    places = settings.places(data)

    async def work() -> None:
        ledger = connect(places.socket)
        await introduce(ledger, places, open_wallet(places, settings.recipient, settings.operator_of(settings.recipient)))
        await hang_up(ledger)

    show.run(work(), as_json=as_json)
    show.line(introduced=settings.recipient) if as_json else show.console.print(settings.recipient)


async def _verify(places: Places, as_json: bool) -> tuple[list[str], str]:
    """Through the running ledger if there is one, else from the store itself."""
    if not places.store.exists():
        show.fail(Code.NO_LEDGER, str(places.store), show.UNAVAILABLE, as_json=as_json)
    if places.socket.exists():
        running = connect(places.socket)
        found = await running.verify(), await running.checkpoint()
        await hang_up(running)
        return found
    keys = open_keys(places.ledger_keys, Trust.load(places.trust).log.name)
    stopped = Ledger(open_sqlite(places.store), keys, SystemClock(), lambda _: b"")
    return await stopped.verify(), await stopped.checkpoint()
