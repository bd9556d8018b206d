"""`accord consent`: record what a citizen says, through the running ledger. An identity is read from a file or standard input,
never from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from consent.client import connect
from consent.core.facts import Acknowledgement, Evidence
from exchange.cli import show
from exchange.cli.options import Data, Json
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.core.identity import BadIdentity, Identity
from exchange.core.rendering import entry_line
from exchange.introduction import PURPOSES, give, open_wallet, terms
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Les accords des citoyens. / Citizens' agreements.")
IdentityFile = Annotated[
    Path,
    typer.Option(
        "--identity", help="Fichier JSON aux noms de l'État (nomNaissance…), ou - / JSON file, or -", allow_dash=True
    ),
]
Purpose = Annotated[str, typer.Option("--purpose", help="Finalité. / Purpose.")]
Scope = Annotated[
    list[str] | None, typer.Option("--scope", help="Donnée, répétable ; toutes par défaut. / Repeatable.")
]
Agreement = Annotated[str, typer.Argument(help="Numéro de l'accord. / The agreement's id.")]


def parse_id(text: str) -> bytes:
    """16 bytes in hexadecimal."""
    try:
        value = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        value = b""
    if len(value) != 16:
        raise typer.BadParameter(show.tr("32 chiffres hexadécimaux", "32 hexadecimal digits"))
    return value


def read_identity(path: Path) -> Identity:
    """The identity in a JSON file of the State's parameter names."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        body = json.loads(text)
        if not isinstance(body, dict):
            raise ValueError
        return Identity.from_wire(body)
    except BadIdentity:
        raise
    except (OSError, ValueError):
        raise typer.BadParameter(
            show.tr("fichier JSON illisible", "unreadable JSON file"), param_hint="--identity"
        ) from None


@app.command("give")
def give_(
    identity: IdentityFile,
    purpose: Purpose = PURPOSES[0],
    scope: Scope = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Enregistrer un accord. / Record an agreement."""
    settings = Settings()
    places = settings.places(data)

    async def work() -> bytes:
        changes: dict[str, object] = {"purpose": purpose} | ({"scopes": tuple(sorted(scope))} if scope else {})
        wallet = open_wallet(places, settings.recipient, settings.operator_of(settings.recipient))
        return await give(connect(places.socket), wallet, read_identity(identity), SystemClock().now_ms(), **changes)

    authorisation = show.run(work(), as_json=as_json)
    show.line(outcome="given", consent=authorisation) if as_json else show.console.print(authorisation.hex())


@app.command("refuse")
def refuse(agreement: Agreement, purpose: Purpose = PURPOSES[0], data: Data = None, as_json: Json = False) -> None:
    """Enregistrer un refus. / Record a refusal."""
    settings = Settings()
    agreed = terms(settings.recipient, SystemClock().now_ms(), purpose=purpose)
    show.run(
        connect(settings.places(data).socket).refuse(parse_id(agreement), agreed, Evidence("counter")), as_json=as_json
    )
    show.line(outcome="refused", consent=agreement) if as_json else show.console.print(agreement)


@app.command("withdraw")
def withdraw(
    agreement: Agreement,
    erase: Annotated[bool, typer.Option("--erase", help="Effacer aussi. / Erase as well.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Retirer un accord : ses clés sont détruites. / Withdraw an agreement: its keys are destroyed."""
    ledger = connect(Settings().places(data).socket)
    ack: Acknowledgement = show.run(
        ledger.withdraw(parse_id(agreement), "erased" if erase else "withdrawn"), as_json=as_json
    )
    if as_json:
        show.line(
            outcome=ack.state,
            leaf_index=ack.leaf_index,
            at_ms=ack.at_ms,
            named=[r.hex() for r in ack.named],
            note=ack.note,
        )
        return
    show.console.print(show.tr("Accord retiré, clés détruites.", "Agreement withdrawn, keys destroyed."))
    named = ", ".join(r.hex() for r in ack.named) or show.tr("aucune", "none")
    show.console.print(show.tr(f"Réponses déjà en route : {named}", f"Answers already on their way: {named}"))
    print(ack.note, end="")


@app.command("show")
def show_(agreement: Agreement, data: Data = None, as_json: Json = False) -> None:
    """Montrer un accord et tout ce qui en a été fait. / Show an agreement and all that was done with it."""
    ledger, authorisation = connect(Settings().places(data).socket), parse_id(agreement)

    async def work() -> tuple[Any, Any]:
        return (await ledger.lookup([authorisation]))[0], await ledger.entries(authorisation)

    held, entries = show.run(work(), as_json=as_json)
    if held is None:
        show.fail(Code.AUTHORISATION_UNKNOWN, agreement, show.REFUSED, as_json=as_json)
    facts = {
        "consent": agreement, "state": held.state, "recipient": held.recipient, "data_set": held.data_set, "purpose": held.purpose,
        "scopes": list(held.scopes), "uses": held.uses, "max_uses": held.max_uses, "not_after_ms": held.not_after_ms,
    }  # fmt: skip
    if as_json:
        show.line(**facts, entries=[entry_line(entry) for entry in entries])
        return
    for name, value in facts.items():
        show.console.print(f"[bold]{name:>13}[/]  {value}")
    for entry in entries:
        show.console.print("  ".join(str(value) for value in entry_line(entry).values()))
