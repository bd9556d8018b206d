"""`accord consent`: record what a citizen says, through the running ledger. An identity is read from a file or standard input,
never from the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from consent.client import connect
from consent.core.facts import Acknowledgement
from exchange.cli import collecting as how
from exchange.cli import show
from exchange.cli.importing import import_
from exchange.cli.options import Data, Json, parse_id
from exchange.cli.previewing import preview
from exchange.cli.rule_files import Signed, read_signed
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.core.rendering import entry_line
from exchange.data_sets import DATA_SETS, QUOTIENT_FAMILIAL
from exchange.introduction import ONLINE, open_wallet, record, terms
from exchange.places import Places
from exchange.rules import scopes_of
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Les accords des citoyens. / Citizens' agreements.")
app.command("import")(import_)
app.command("preview")(preview)
Purpose = Annotated[
    str, typer.Option("--purpose", help="Finalité ; celle du jeu par défaut. / Purpose; the data set's by default.")
]
DataSetName = Annotated[str, typer.Option("--dataset", help="Jeu de données. / Data set.")]
Scope = Annotated[
    list[str] | None, typer.Option("--scope", help="Donnée, répétable ; toutes par défaut. / Repeatable.")
]
Agreement = Annotated[str, typer.Argument(help="Numéro de l'accord. / The agreement's id.")]
YEAR_DAYS, USES = 365, 100


@app.command("request")
def request(
    data_set: DataSetName = QUOTIENT_FAMILIAL.name,
    purpose: Purpose = "",
    scope: Scope = None,
    days: how.Days = YEAR_DAYS,
    uses: how.Uses = USES,
    life: how.Life = YEAR_DAYS,
    notice: how.Notice = None,
    version: how.NoticeVersion = "",
    required: how.Required = "eidas1",
    rule: Signed = None,
    watch: how.WatchDays = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Demander un accord : un numéro que le citoyen pourra accepter ou refuser. / Ask for an agreement, to be given or refused."""
    settings, now_ms, authorisation = Settings(), SystemClock().now_ms(), os.urandom(16)
    places = settings.places(data)
    data_set, ruled = _ruled(rule, places, data_set, as_json)
    changes = (
        how.terms_changes(now_ms, days, uses, life, "", notice, version, required, watch)
        | ruled
        | _chosen(scope, purpose)
    )
    asked = terms(settings.recipient, now_ms, _known(data_set), **changes)
    ledger = connect(places.socket)
    show.run(ledger.request(authorisation, asked, ONLINE, settings.operator_of(settings.recipient)), as_json=as_json)
    _said("requested", authorisation, as_json)
    page = places.page(f"/mes-accords/demande/{authorisation.hex()}")
    if page and not as_json:
        show.console.print(f"{show.tr('À faire lire', 'To be read')} : {page}", soft_wrap=True)


@app.command("give")
def give_(
    identity: how.IdentityFile,
    asked: Annotated[str, typer.Option("--request", help="Numéro demandé. / The id asked for.")] = "",
    data_set: DataSetName = QUOTIENT_FAMILIAL.name,
    purpose: Purpose = "",
    scope: Scope = None,
    days: how.Days = YEAR_DAYS,
    uses: how.Uses = USES,
    life: how.Life = YEAR_DAYS,
    legal: how.Legal = "",
    notice: how.Notice = None,
    version: how.NoticeVersion = "",
    required: how.Required = "eidas1",
    channel: how.ChannelName = "online",
    agent: how.Agent = "",
    proof: how.Proof = None,
    level: how.Level = "eidas1",
    spoke: how.Spoke = None,
    as_: how.As = "parent",
    mandate: how.Mandate = None,
    rule: Signed = None,
    watch: how.WatchDays = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Enregistrer un accord, ou l'information donnée sur une base légale. / Record an agreement, or a legal basis."""
    settings, now_ms = Settings(), SystemClock().now_ms()
    places = settings.places(data)
    with show.explained(as_json=as_json):
        who = how.read_vetted(identity, places.root)
        collected = how.evidence(channel, agent, proof, level, how.representation(spoke, as_, mandate, places.root))
    data_set, ruled = _ruled(rule, places, data_set, as_json)
    changes = (
        how.terms_changes(now_ms, days, uses, life, legal, notice, version, required, watch)
        | ruled
        | _chosen(scope, purpose)
    )

    async def work() -> bytes:
        ledger = connect(places.socket)
        wallet = open_wallet(places, settings)
        authorisation = parse_id(asked) if asked else os.urandom(16)
        agreed = terms(settings.recipient, now_ms, _known(data_set), **changes)
        if asked:  # what was asked for has its own terms; the person may give a part
            agreed = msgspec.structs.replace(await ledger.terms(authorisation), **_chosen(scope))
        await record(ledger, wallet, authorisation, agreed, who, collected)
        return authorisation

    _said("given", show.run(work(), as_json=as_json), as_json)


@app.command("refuse")
def refuse(agreement: Agreement, purpose: Purpose = "", data: Data = None, as_json: Json = False) -> None:
    """Enregistrer un refus. / Record a refusal."""
    settings = Settings()
    agreed = terms(settings.recipient, SystemClock().now_ms(), QUOTIENT_FAMILIAL.name, **_chosen(None, purpose))
    show.run(connect(settings.places(data).socket).refuse(parse_id(agreement), agreed, ONLINE), as_json=as_json)
    _said("refused", parse_id(agreement), as_json)


@app.command("renew")
def renew(
    agreement: Agreement,
    days: how.Days = YEAR_DAYS,
    uses: how.Uses = USES,
    channel: how.ChannelName = "online",
    agent: how.Agent = "",
    proof: how.Proof = None,
    level: how.Level = "eidas1",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Prolonger un accord avec la personne, même expiré ou épuisé. / Renew an agreement with the person, even expired."""
    settings, now_ms, authorisation = Settings(), SystemClock().now_ms(), parse_id(agreement)
    places, collected = settings.places(data), how.evidence(channel, agent, proof, level)

    async def work() -> None:
        ledger, wallet = (
            connect(places.socket),
            open_wallet(places, settings),
        )
        held = await ledger.terms(authorisation)
        longer = msgspec.structs.replace(
            held, not_before_ms=now_ms, not_after_ms=now_ms + days * how.DAY_MS, max_uses=uses
        )
        wallet.keep(authorisation, (await ledger.renew(authorisation, longer, collected, wallet.operator)).capsule)

    show.run(work(), as_json=as_json)
    _said("renewed", authorisation, as_json)


@app.command("narrow")
def narrow(
    agreement: Agreement,
    scope: Annotated[list[str], typer.Option("--scope", help="Donnée à garder, répétable. / To keep, repeatable.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Retirer une partie de l'accord : garder ces données seulement. / Withdraw a part: keep these data only."""
    settings, authorisation = Settings(), parse_id(agreement)
    places = settings.places(data)

    async def work() -> None:
        wallet = open_wallet(places, settings)
        grant = await connect(places.socket).narrow(authorisation, tuple(sorted(scope)), wallet.operator)
        wallet.keep(authorisation, grant.capsule)

    show.run(work(), as_json=as_json)
    _said("narrowed", authorisation, as_json)


@app.command("capsule")
def capsule(agreement: Agreement, data: Data = None, as_json: Json = False) -> None:
    """Reprendre la capsule en cours d'un accord, quand sa clé a été remplacée. / Fetch an agreement's current capsule."""
    settings, authorisation = Settings(), parse_id(agreement)
    places = settings.places(data)

    async def work() -> None:
        wallet = open_wallet(places, settings)
        wallet.keep(authorisation, (await connect(places.socket).capsule(authorisation, wallet.operator)).capsule)

    show.run(work(), as_json=as_json)
    _said("fetched", authorisation, as_json)


@app.command("withdraw")
def withdraw(
    agreement: Agreement,
    erase: Annotated[bool, typer.Option("--erase", help="Effacer aussi. / Erase as well.")] = False,
    oppose: Annotated[
        bool, typer.Option("--oppose", help="Opposition (base légale). / Objection (legal basis).")
    ] = False,
    end: Annotated[bool, typer.Option("--end", help="Clos par la collectivité. / Ended by the collectivity.")] = False,
    channel: how.ChannelName = "online",
    agent: how.Agent = "",
    proof: how.Proof = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Retirer un accord : ses clés sont détruites. / Withdraw an agreement: its keys are destroyed."""
    happening = "erased" if erase else "opposed" if oppose else "ended" if end else "withdrawn"
    collected = how.evidence(channel, agent, proof, "eidas1")
    ledger = connect(Settings().places(data).socket)
    ack: Acknowledgement = show.run(ledger.withdraw(parse_id(agreement), happening, collected), as_json=as_json)
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
        "scopes": list(held.scopes), "rule": held.rule_hash.hex(), "uses": held.uses, "max_uses": held.max_uses, "not_after_ms": held.not_after_ms,
    }  # fmt: skip
    if as_json:
        show.line(**facts, entries=[entry_line(entry) for entry in entries])
        return
    for name, value in facts.items():
        show.console.print(f"[bold]{name:>13}[/]  {value}")
    for entry in entries:
        show.console.print("  ".join(str(value) for value in entry_line(entry).values()))


def _known(data_set: str) -> str:
    if data_set not in DATA_SETS:
        raise typer.BadParameter(", ".join(DATA_SETS), param_hint="--dataset")
    return data_set


def _ruled(rule: Path | None, places: Places, data_set: str, as_json: bool) -> tuple[str, dict[str, object]]:
    """The data set, and what a rule changes in the usual terms: what it reads, and its answer only."""
    signed, asked = read_signed(rule, places, as_json)
    return (data_set, {}) if asked is None else (asked.data_set, {"rule": signed, "scopes": scopes_of(asked)})


def _chosen(scope: list[str] | None, purpose: str = "") -> dict[str, object]:
    scopes: dict[str, object] = {"scopes": tuple(sorted(scope))} if scope else {}
    return scopes | ({"purpose": purpose} if purpose else {})


def _said(outcome: str, authorisation: bytes, as_json: bool) -> None:
    show.line(outcome=outcome, consent=authorisation) if as_json else show.console.print(authorisation.hex())
