"""`accord witness`: a small witness that any collectivity or authority can run over logs it does not run itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consent.core.cosignature import Witness
from consent.core.note import BadNote, Verifier, parse_verifier
from consent.witness.server import WitnessServer, open_key, serve
from exchange.cli import show
from exchange.cli.options import Data, Json
from exchange.clock import SystemClock
from exchange.locks import owned
from exchange.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Un témoin du journal d'autrui. / A witness of others' logs."
)
WitnessName = Annotated[
    str, typer.Option("--name", help="Nom du témoin, sans espace : temoin.mairie.fr/1 / The witness's name.")
]


def _name(name: str) -> str:
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name):
        raise typer.BadParameter(show.tr("sans espace ni +", "no space and no +"), param_hint="--name")
    return name


def _folder(data: Path | None) -> Path:
    return Settings().places(data).root / "witness"


@app.command("run")
def run(
    name: WitnessName,
    log: Annotated[
        list[str],
        typer.Option(
            "--log", help="Clé d'un journal suivi, répétable (accord ledger vkey). / A log's vkey, repeatable."
        ),
    ],
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0: un port libre / a free port", min=0, max=65535)] = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Cosigner les têtes des journaux suivis. / Cosign the heads of the logs given."""
    folder, clock = _folder(data), SystemClock()
    logs = [_log(vkey) for vkey in log]

    def ready(url: str) -> None:
        shown = str(server.witness)
        show.line(url=url, vkey=shown) if as_json else show.console.print(f"{url}  {shown}", soft_wrap=True)

    with show.explained(as_json=as_json), owned(folder):
        server = WitnessServer(folder, _name(name), logs, lambda: clock.now_ms() // 1000)
        show.run(serve(server, host, port, ready), as_json=as_json)


@app.command("vkey")
def vkey(name: WitnessName, data: Data = None, as_json: Json = False) -> None:
    """Montrer la clé qui vérifie ce témoin. / Show the key that verifies this witness."""
    with show.explained(as_json=as_json):
        key = str(Witness(_name(name), open_key(_folder(data)).public_key().public_bytes_raw()))
    show.line(vkey=key) if as_json else print(key)


def _log(vkey: str) -> Verifier:
    try:
        return parse_verifier(vkey)
    except BadNote:
        raise typer.BadParameter(
            show.tr("pas une clé de journal", "not a log's verifier key"), param_hint="--log"
        ) from None
