"""`accord keys`: another release KEK, another master of the ledger's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from consent.keys import choose
from consent.keys import rewrap as rewrap_keys
from exchange.cli import show
from exchange.cli.ledger import opened
from exchange.cli.options import Data, Json
from exchange.core.errors import Code
from exchange.locks import owned
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Les clés du registre. / The ledger's keys.")

_FILE: dict[str, Any] = {"exists": True, "dir_okay": False}


@app.command("rotate")
def rotate(
    content: Annotated[
        bool,
        typer.Option("--content", help="Et celle de ce que les personnes ont dit. / And that of what people said."),
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Changer maintenant la clé qui protège les clés des accords vivants. / Change now the key that wraps those of live agreements."""
    places = Settings().places(data)

    async def work() -> int:
        async with opened(places, as_json) as ledger:
            return await ledger.rotate(now=True, content=content)

    moved = show.run(work(), as_json=as_json)
    show.line(moved=moved) if as_json else show.console.print(
        show.tr(f"{moved} clés remballées", f"{moved} keys wrapped anew")
    )


@app.command("rewrap")
def rewrap(
    plain: Annotated[
        bool, typer.Option("--plain", help="Plus rien que les droits des fichiers. / Nothing but the files' modes.")
    ] = False,
    kek_file: Annotated[
        Path | None, typer.Option("--kek-file", help="32 octets en base64. / 32 bytes in base64.", **_FILE)
    ] = None,
    hsm_module: Annotated[
        Path | None, typer.Option("--hsm-module", help="Bibliothèque PKCS#11. / PKCS#11 library.", **_FILE)
    ] = None,
    hsm_token: Annotated[str, typer.Option("--hsm-token")] = "accord",  # noqa: S107  # a label
    hsm_key: Annotated[str, typer.Option("--hsm-key")] = "accord",
    hsm_pin_file: Annotated[Path | None, typer.Option("--hsm-pin-file", **_FILE)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Confier les clés à un autre maître, registre arrêté ; les réglages disent l'ancien. / Give the keys another master, the ledger
    being stopped; the settings say the old one."""
    if plain == bool(kek_file or hsm_module):
        raise typer.BadParameter("--plain | --kek-file | --hsm-module")
    settings = Settings()
    places = settings.places(data)
    if not places.ledger_keys.exists():
        show.fail(Code.NO_LEDGER, str(places.ledger_keys), show.UNAVAILABLE, as_json=as_json)
    with show.explained(as_json=as_json), owned(places.store.parent):
        new = choose("", kek_file, hsm_module, hsm_token, hsm_key, hsm_pin_file)
        rewrap_keys(places.ledger_keys, settings.master(), new)
    kind = new.kind if new else "plain"
    show.line(master=kind) if as_json else show.console.print(kind)
