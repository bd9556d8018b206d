"""`accord ledger`: run the ledger's process, verify the log, show its head."""

from __future__ import annotations

from typing import Annotated

import typer

from consent.client import connect
from consent.core import note
from consent.keys import open_keys
from consent.ledger import Ledger
from consent.process import run_ledger
from consent.stores.engine import open_sqlite
from exchange.cli import show
from exchange.cli.options import Data, Json, Name
from exchange.clock import SystemClock
from exchange.places import Places
from exchange.settings import Settings
from exchange.trust import Trust

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Le registre des accords. / The consent ledger.")


@app.command("run")
def run(data: Data = None, origin: Annotated[str, typer.Option("--origin")] = "", name: Name = "ledger") -> None:
    """Faire tourner le registre, seul maître de ses clés. / Run the ledger, sole owner of its keys."""
    settings = Settings()
    show.run(run_ledger(settings.places(data), origin or settings.origin))


@app.command("verify")
def verify(data: Data = None, as_json: Json = False) -> None:
    """Recalculer le journal depuis ses feuilles. / Recompute the log from its leaves."""
    settings = Settings()
    places = settings.places(data)
    if not places.store.exists():
        show.fail("no_ledger", str(places.store), "--data", show.UNAVAILABLE, as_json=as_json)
    problems, checkpoint = show.run(_verify(places, settings.origin), as_json=as_json)
    head = note.parse_checkpoint(note.verify(checkpoint, Trust.load(places.trust).log))
    if as_json:
        show.line(ok=not problems, problems=problems, size=head.size, root=head.root, origin=head.origin)
    else:
        found = show.tr("le journal est intact", "the log is sound") if not problems else "\n".join(problems)
        show.console.print(f"{found}\n{head.origin}  {head.size}  {head.root.hex()}")
    raise typer.Exit(show.CORRUPTED if problems else show.OK)


@app.command("checkpoint")
def checkpoint(data: Data = None, as_json: Json = False) -> None:
    """Montrer la tête signée du journal. / Show the signed head of the log."""
    settings = Settings()
    _, text = show.run(_verify(settings.places(data), settings.origin), as_json=as_json)
    show.line(checkpoint=text) if as_json else print(text, end="")


async def _verify(places: Places, origin: str) -> tuple[list[str], str]:
    """Through the running ledger if there is one, else from the store itself."""
    ledger = connect(places.socket)
    if not places.socket.exists():
        ledger = Ledger(open_sqlite(places.store), open_keys(places.ledger_keys, origin), SystemClock(), lambda _: b"")
    return await ledger.verify(), await ledger.checkpoint()
