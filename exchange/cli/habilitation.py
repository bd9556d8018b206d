"""`accord habilitation`: who may ask what, from DataPass (webhooks, API, open data) or by hand; and which operators act for whom."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import structlog
import typer

from consent.client import connect, hang_up
from consent.core.facts import Habilitation, Handover
from consent.door import Door
from exchange.cli import show
from exchange.cli.options import DATES, Data, Json, moment_ms
from exchange.clock import SystemClock
from exchange.core.datapass import drift as drifts
from exchange.core.datapass.mapping import Act, BadMapping, Entitlement, Rules, entitlements
from exchange.core.errors import Code
from exchange.core.referentials import PURPOSES, is_siren, is_siret
from exchange.data_sets import DATA_SETS
from exchange.datapass import client as api
from exchange.datapass.desk import MAPPING, Desk, read_rules
from exchange.datapass.memory import Memory
from exchange.datapass.server import Receiver, log, read_secrets, serve
from exchange.locks import owned
from exchange.places import Places
from exchange.ports import Unavailable
from exchange.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Les habilitations et délégations. / Habilitations and delegations.",
)
AGAIN_S, RETRY_S = 86_400.0, 300.0
_SCOPES = {name: data_set.scopes for name, data_set in DATA_SETS.items()}


def _siret(value: str) -> str:
    if value and not is_siret(value):
        raise typer.BadParameter(show.tr("pas un SIRET", "not a SIRET"))
    return value


def _siren(value: str) -> str:
    if not is_siren(value):
        raise typer.BadParameter(show.tr("pas un SIREN", "not a SIREN"))
    return value


def _purpose(value: str) -> str:
    if value not in PURPOSES:
        raise typer.BadParameter(", ".join(PURPOSES))
    return value


def _data_set(value: str) -> str:
    if value not in DATA_SETS:
        raise typer.BadParameter(", ".join(DATA_SETS))
    return value


Recipient = Annotated[str, typer.Argument(help="Collectivité (SIRET). / Collectivity.", callback=_siret)]
DataSet = Annotated[str, typer.Option("--data-set", help="Jeu de données et version. / Data set.", callback=_data_set)]
Purpose = Annotated[str, typer.Option("--purpose", help="Finalité. / Purpose.", callback=_purpose)]
Until = Annotated[datetime, typer.Option("--until", formats=DATES, help="Fin, UTC. / Until, UTC.")]
Mapping = Annotated[
    Path,
    typer.Option("--mapping", help="Correspondance YAML avec DataPass. / YAML mapping.", exists=True, dir_okay=False),
]
Account = Annotated[
    Path | None,
    typer.Option(
        "--client-file",
        envvar="ACCORD_DATAPASS_CLIENT_FILE",
        help="Compte DataPass : identifiant et secret, deux lignes. / Account.",
    ),
]
Url = Annotated[str, typer.Option("--url", envvar="ACCORD_DATAPASS_URL", help="API DataPass. / DataPass's API.")]


@app.command("serve")
def serve_(
    secret_file: Annotated[
        Path,
        typer.Option(
            "--secret-file", envvar="ACCORD_DATAPASS_SECRET_FILE", help="Secrets des webhooks, un par ligne. / Secrets."
        ),
    ],
    client_file: Account = None,
    url: Url = api.PRODUCTION,
    mapping: Mapping = MAPPING,
    environment: Annotated[str, typer.Option("--environment", help="production, staging, sandbox")] = "production",
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0: un port libre / a free port", min=0, max=65535)] = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Recevoir les webhooks de DataPass, et rapprocher au départ puis chaque jour. / Receive DataPass's webhooks, and reconcile."""
    places, rules = Settings().places(data), _rules(mapping)

    def ready(address: str) -> None:
        show.line(url=address) if as_json else show.console.print(address, soft_wrap=True)

    async def work() -> None:
        desk = _desk(places, rules)
        await serve(Receiver(desk, secrets, environment), host, port, ready, lambda: _daily(desk, account, url))

    with show.explained(as_json=as_json), owned(_folder(places)):
        secrets, account = read_secrets(secret_file), _account(client_file)
        show.run(work(), as_json=as_json)


@app.command("reconcile")
def reconcile(
    client_file: Account = None,
    url: Url = api.PRODUCTION,
    siret: Annotated[str, typer.Option("--siret", help="Une collectivité. / One collectivity.", callback=_siret)] = "",
    mapping: Mapping = MAPPING,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Mettre le registre d'accord avec l'API DataPass. / Bring the ledger into line with DataPass's API."""
    places, rules = Settings().places(data), _rules(mapping)
    with show.explained(as_json=as_json), owned(_folder(places)):
        account = _account(client_file)
        if account is None:
            raise typer.BadParameter("--client-file", param_hint="--client-file")
        try:
            acts, unlisted = show.run(_reconciled(_desk(places, rules), account, url, siret), as_json=as_json)
        except api.DataPassUnavailable as error:
            show.fail(Code.DATAPASS_UNAVAILABLE, str(error), show.UNAVAILABLE, as_json=as_json)
    for act in acts:
        _said(act.habilitation, act.reason, as_json)
    if as_json:
        show.line(acts=len(acts), unlisted=unlisted)
    else:
        show.console.print(
            show.tr(
                f"{len(acts)} écritures ; {unlisted} demandes non listées",
                f"{len(acts)} written; {unlisted} demandes not listed",
            )
        )


@app.command("drift")
def drift(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV « Habilitations Datapass validées » (data.gouv.fr). / Open CSV.", exists=True, dir_okay=False
        ),
    ],
    everywhere: Annotated[
        bool, typer.Option("--all", help="Aussi les collectivités inconnues ici. / Unknown collectivities too.")
    ] = False,
    mapping: Mapping = MAPPING,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Comparer le registre aux données ouvertes du mois ; code 3 s'ils diffèrent. / Compare the ledger with the monthly open data."""
    places, rules, now_ms = Settings().places(data), _rules(mapping), SystemClock().now_ms()
    table = _table(file)

    async def work() -> tuple[list[Habilitation], frozenset[str]]:
        ledger = connect(places.socket)
        held, entries = await ledger.habilitations(), await ledger.directory()
        return held, frozenset({h.recipient for h in held} | {e.organisation for e in entries if e.kind == "recipient"})

    held, known = show.run(work(), as_json=as_json)
    wanted = entitlements(table.rights, rules, _SCOPES)
    found = drifts.compare(wanted, held, rules, None if everywhere else known, now_ms)
    for one in found:
        _different(one, as_json)
    if as_json:
        show.line(drifts=len(found), lines_aside=list(table.aside))
    else:
        show.console.print(
            show.tr(
                f"{len(found)} écarts, {len(table.aside)} lignes sans SIRET",
                f"{len(found)} drifts, {len(table.aside)} lines without SIRET",
            )
        )
    raise typer.Exit(show.REFUSED if found else show.OK)


@app.command("list")
def list_(
    siret: Annotated[str, typer.Option("--siret", help="Une collectivité. / One collectivity.", callback=_siret)] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Montrer les habilitations du registre. / Show the ledger's habilitations."""
    ledger, now_ms = connect(Settings().places(data).socket), SystemClock().now_ms()
    held = show.run(ledger.habilitations(), as_json=as_json)
    for one in held:
        if not siret or one.recipient == siret:
            _said(one, "live" if one.scopes and one.not_after_ms > now_ms else "over", as_json)


@app.command("give")
def give(
    recipient: Recipient,
    data_set: DataSet,
    purpose: Purpose,
    legal: Annotated[str, typer.Option("--legal", help="Le texte (CRPA L114-8). / The legal reference.")],
    until: Until,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="Donnée, répétable ; toutes par défaut. / Repeatable.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Inscrire une habilitation à la main. / Record an habilitation by hand."""
    scopes = tuple(sorted(scope or DATA_SETS[data_set].scopes))
    if unknown := set(scopes) - DATA_SETS[data_set].scopes:
        raise typer.BadParameter(", ".join(sorted(unknown)), param_hint="--scope")
    _write(data, Habilitation(recipient, data_set, purpose, scopes, legal, moment_ms(until)), "approved", as_json)


@app.command("revoke")
def revoke(recipient: Recipient, data_set: DataSet, purpose: Purpose, data: Data = None, as_json: Json = False) -> None:
    """Mettre fin à une habilitation et aux accords qui reposaient sur elle. / End an habilitation, and what rested on it."""
    _write(data, Habilitation(recipient, data_set, purpose, (), "", SystemClock().now_ms()), "revoked", as_json)


@app.command("delegate")
def delegate(
    recipient: Recipient,
    operator: Annotated[
        str, typer.Argument(help="Éditeur ou organisme de mutualisation (SIREN). / Operator.", callback=_siren)
    ],
    until: Annotated[
        datetime | None, typer.Option("--until", formats=DATES, help="Fin, UTC. / Until, UTC.", show_default=False)
    ] = None,
    revoked_at: Annotated[
        datetime | None,
        typer.Option(
            "--revoked-at", formats=DATES, help="Fin d'une délégation, UTC. / End of one.", show_default=False
        ),
    ] = None,
    handover: Annotated[
        Handover,
        typer.Option(
            "--handover", help="push : réponse avec l'issue ; pull : ouverte sur demande. / Opened on demand."
        ),
    ] = "push",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Laisser un opérateur publier pour une collectivité, ou y mettre fin. / Let an operator act for a collectivity, or end it."""
    end = until or revoked_at
    if end is None or (until and revoked_at):
        raise typer.BadParameter("--until / --revoked-at", param_hint="--until")
    ledger = connect(Settings().places(data).socket)
    show.run(ledger.delegate(recipient, operator, moment_ms(end), handover), as_json=as_json)
    outcome = "live" if moment_ms(end) > SystemClock().now_ms() else "over"
    facts = {"recipient": recipient, "operator": operator, "not_after_ms": moment_ms(end)}
    show.line(outcome=outcome, **facts) if as_json else show.console.print(
        "  ".join(map(str, (outcome, *facts.values())))
    )


# Parts


async def _daily(desk: Desk, account: tuple[str, str] | None, url: str) -> None:
    """For ever: reconcile, sooner again where DataPass or the ledger did not answer. Without an account there is nothing to ask."""
    while account is not None:
        try:
            acts, unlisted = await _listed(desk, account, url, "")
            log(acts)
            structlog.get_logger().info("reconciled", acts=len(acts), unlisted=unlisted)
            await desk.clock.sleep(AGAIN_S)
        except (Unavailable, api.DataPassUnavailable) as error:
            structlog.get_logger().warning("not_reconciled", reason=str(error))
            await desk.clock.sleep(RETRY_S)


async def _reconciled(desk: Desk, account: tuple[str, str], url: str, siret: str) -> tuple[list[Act], int]:
    try:
        return await _listed(desk, account, url, siret)
    finally:
        await hang_up(desk.ledger)


async def _listed(desk: Desk, account: tuple[str, str], url: str, siret: str) -> tuple[list[Act], int]:
    """What was written, and how many known demandes DataPass does not list: those are left as they are."""
    async with httpx.AsyncClient() as http:
        told = await api.Client(http, account, url).snapshots(desk.clock.now_ms() // 1000, siret)
    unlisted = set() if siret else desk.memory.demandes() - {one.demande for one in told}
    return await desk.settle(told, again=True), len(unlisted)


def _desk(places: Places, rules: Rules) -> Desk:
    ledger: Door = connect(places.socket)
    return Desk(ledger, Memory(_folder(places) / "demandes.db"), rules, _SCOPES, SystemClock())


def _folder(places: Places) -> Path:
    return places.root / "datapass"


def _rules(path: Path) -> Rules:
    try:
        return read_rules(path, _SCOPES)
    except BadMapping as error:
        raise typer.BadParameter(str(error), param_hint="--mapping") from None


def _account(path: Path | None) -> tuple[str, str] | None:
    try:
        return api.read_credentials(path) if path else None
    except ValueError:
        raise typer.BadParameter(
            show.tr("identifiant et secret, deux lignes", "id and secret, two lines"), param_hint="--client-file"
        ) from None


def _table(path: Path) -> drifts.Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return drifts.read(lines)
    except (OSError, UnicodeDecodeError, drifts.BadTable) as error:
        detail = str(error) if isinstance(error, drifts.BadTable) else type(error).__name__
        raise typer.BadParameter(detail, param_hint="FILE") from None


def _write(data: Path | None, h: Habilitation, reason: str, as_json: bool) -> None:
    ledger = connect(Settings().places(data).socket)
    work = ledger.habilitate(h.recipient, h.data_set, h.purpose, h.scopes, h.legal_reference, h.not_after_ms)
    show.run(work, as_json=as_json)
    _said(h, reason, as_json)


def _said(h: Habilitation, outcome: str, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "recipient": h.recipient, "data_set": h.data_set, "purpose": h.purpose, "scopes": list(h.scopes),
        "legal_reference": h.legal_reference, "not_after_ms": h.not_after_ms,
    }  # fmt: skip
    if as_json:
        show.line(outcome=outcome, **facts)
    else:
        show.console.print(
            f"{outcome:<9} {h.recipient}  {h.data_set}  {h.purpose}  {', '.join(h.scopes)}", soft_wrap=True
        )


_KINDS = {
    "missing": ("absente d'ici", "missing here"),
    "extra": ("absente de DataPass", "not in DataPass"),
    "scopes": ("autres données", "other scopes"),
    "legal_reference": ("autre fondement", "other legal basis"),
}


def _different(one: drifts.Drift, as_json: bool) -> None:
    recipient, data_set, purpose = one.key
    if as_json:
        sides = {"here": _side(one.here), "there": _side(one.there)}
        show.line(drift=one.kind, recipient=recipient, data_set=data_set, purpose=purpose, **sides)
    else:
        show.console.print(f"{show.tr(*_KINDS[one.kind])} : {recipient}  {data_set}  {purpose}", soft_wrap=True)


def _side(held: Entitlement | None) -> dict[str, object] | None:
    return held and {"scopes": list(held.scopes), "legal_reference": held.legal_reference}
