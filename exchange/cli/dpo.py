"""`accord dpo`: what a data protection officer asks of the ledger. Who asks and why is recorded with every question; a person is
given by reference, or by an identity read from a file or standard input, never from the command line."""

from __future__ import annotations

import zipfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from consent.core import note, told
from consent.core.dossier import BadDossier, plain, verify
from consent.core.facts import Basis, Channel, State
from consent.core.query import Activity, Officer, Passed, Query, Signed, check_officer
from consent.door import Door
from exchange.cli import dpo_views as views
from exchange.cli import show
from exchange.cli.collecting import read_identity
from exchange.cli.ledger import opened
from exchange.cli.options import DATES, Data, Json, moment_ms, one_of, parse_id
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.settings import Settings
from exchange.trust import Trust

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Le délégué à la protection des données. / The data protection officer.",
)
T = TypeVar("T")
_SIZE_MAX_BYTES = 256 << 20

Asker = Annotated[
    str, typer.Option("--officer", envvar="ACCORD_OFFICER", help="Qui consulte, tel que désigné. / Who asks.")
]
Reason = Annotated[
    str, typer.Option("--reason", help="Motif, inscrit au registre ; ne nommer personne. / Why; name nobody.")
]
Subject = Annotated[str, typer.Option("--subject", help="Référence de la personne (64 chiffres hex). / Reference.")]
Person = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        help="Fichier JSON aux noms de l'État, ou - ; avec --recipient. / JSON file, or -.",
        allow_dash=True,
    ),
]
Recipient = Annotated[str, typer.Option("--recipient", help="Collectivité (SIRET). / Collectivity.")]
Start = Annotated[
    datetime | None, typer.Option("--from", formats=DATES, help="Début, UTC. / Start, UTC.", show_default=False)
]
End = Annotated[
    datetime | None,
    typer.Option("--to", formats=DATES, help="Fin, UTC, exclue. / End, UTC, excluded.", show_default=False),
]
Csv = Annotated[bool, typer.Option("--csv", help="CSV, avec en-têtes. / CSV with a header.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Fichier à écrire. / File to write.", dir_okay=False)
]


@app.command("appoint")
def appoint(
    name: Annotated[
        str,
        typer.Argument(
            help="Référence du délégué, que ses pages lui montrent. / The officer's reference, which their pages show."
        ),
    ],
    until: Annotated[
        datetime, typer.Option("--until", formats=DATES, help="Fin de la désignation, UTC. / Until, UTC.")
    ],
    recipient: Annotated[
        list[str] | None,
        typer.Option("--recipient", help="Collectivité (SIRET), répétable. / Collectivity, repeatable."),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Toutes les collectivités. / All collectivities.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Désigner un délégué, son périmètre, jusqu'à quand. / Appoint an officer, a perimeter, until when."""
    if bool(recipient) == everywhere:
        raise typer.BadParameter("--recipient / --all", param_hint="--recipient")
    officer = Officer(name, tuple(recipient or ()), moment_ms(until))
    try:
        check_officer(officer)
    except ValueError:
        raise typer.BadParameter(show.tr("un nom, des SIRET", "a name, SIRETs"), param_hint="--recipient") from None
    index = _asked(data, as_json, lambda ledger: ledger.appoint(officer))
    if as_json:
        show.line(officer=name, recipients=officer.recipients, leaf_index=index)
    else:
        show.console.print(show.tr(f"Désignation inscrite : feuille {index}", f"Appointment recorded: leaf {index}"))


@app.command("query")
def query(
    officer: Asker,
    reason: Reason,
    subject: Subject = "",
    identity: Person = None,
    recipient: Recipient = "",
    operator: Annotated[str, typer.Option("--operator", help="Opérateur (SIREN). / Operator.")] = "",
    data_set: Annotated[str, typer.Option("--data-set", help="Jeu de données et version. / Data set.")] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="Finalité. / Purpose.")] = "",
    basis_: Annotated[str, typer.Option("--basis", help="consent, legal")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Agent qui a recueilli l'accord. / Agent.")] = "",
    channel: Annotated[str, typer.Option("--channel", help="online, counter, phone, paper")] = "",
    state: Annotated[str, typer.Option("--state", help="live, withdrawn, refused, expired…")] = "",
    start: Start = None,
    end: End = None,
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=DATES[:1], help="Un jour, UTC. / One day, UTC.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Lignes par page. / Rows a page.", min=1, max=1_000)] = 50,
    after: Annotated[str, typer.Option("--after", help="Suite d'une page. / What follows a page.")] = "",
    proofs: Annotated[
        bool, typer.Option("--proofs/--no-proofs", help="Avec leurs preuves. / With their proofs.")
    ] = True,
    data: Data = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Chercher des accords, du plus récent au plus ancien. / Find agreements, newest first."""
    from_ms, to_ms = moment_ms(day or start), moment_ms(day) + 86_400_000 if day else moment_ms(end)
    fields = {
        "recipient": recipient, "operator": operator, "data_set": data_set, "purpose": purpose, "agent": agent,
        "basis": cast("Basis | None", _given(basis_, ("consent", "legal"), "--basis")), "from_ms": from_ms, "to_ms": to_ms,
        "channel": cast("Channel | None", _given(channel, ("online", "counter", "phone", "paper"), "--channel")),
        "state": State(state) if _given(state, tuple(State), "--state") else None, "limit": limit, "after": after,
    }  # fmt: skip
    asked = _query(fields | {"subject": _reference(subject)})

    async def work(ledger: Door) -> Any:
        person = _person(identity, recipient)
        found = await ledger.refer(officer, reason, person, recipient) if person else asked.subject
        return await ledger.query(officer, reason, _query(fields | {"subject": found}), proofs and as_json)

    found = _asked(data, as_json, work)
    _sheet(told.COLUMNS, map(told.flat, found.rows)) if as_csv else views.found(found, as_json=as_json)


@app.command("basis")
def basis(
    request: Annotated[str, typer.Argument(help="Numéro de la demande. / The request's id.")],
    officer: Asker,
    reason: Reason,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Sur quelle base cette réponse a-t-elle été transmise ? / On what basis was this released?"""
    wanted = parse_id(request)
    grounds = _asked(data, as_json, lambda ledger: ledger.basis(officer, reason, wanted))
    views.grounds(grounds, as_json=as_json)


@app.command("dossier")
def dossier(
    officer: Asker,
    reason: Reason,
    subject: Subject = "",
    identity: Person = None,
    recipient: Recipient = "",
    consent: Annotated[str, typer.Option("--consent", help="Ou le numéro d'un accord. / Or an agreement's id.")] = "",
    output: Output = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Tout sur une personne, signé (RGPD art. 15). / Everything about a person, signed (GDPR art. 15)."""
    authorisation = parse_id(consent) if consent else b""

    async def work(ledger: Door) -> Signed:
        found = b"" if authorisation else await _whom(ledger, officer, reason, subject, identity, recipient)
        return await ledger.dossier(officer, reason, found, authorisation)

    signed = _asked(data, as_json, work)
    if output:
        output.write_bytes(told.bundle(signed))
        show.line(output=str(output)) if as_json else show.console.print(str(output), soft_wrap=True)
    elif as_json:
        show.line(dossier=signed.body.decode(), note=signed.note)
    else:
        views.dossier(signed)


@app.command("register")
def register(
    officer: Asker,
    reason: Reason,
    markdown: Annotated[bool, typer.Option("--markdown", help="Un document à lire. / A document to read.")] = False,
    data: Data = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Le registre des traitements (RGPD art. 30). / The register of processing activities (GDPR art. 30)."""
    found = _asked(data, as_json, lambda ledger: ledger.processing(officer, reason))
    if as_csv:
        _sheet(Activity.__struct_fields__, map(told.flat_activity, found.activities))
    elif markdown:
        print(told.markdown(found, show.tr))
    else:
        views.register(found, as_json=as_json)


@app.command("breach")
def breach(
    officer: Asker,
    reason: Reason,
    worker: Annotated[str, typer.Option("--worker", help="Le processus touché. / The process affected.")],
    start: Start = None,
    end: End = None,
    data: Data = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Qui a été touché par une violation (RGPD art. 33). / Whom a breach affected (GDPR art. 33)."""
    from_ms, to_ms = _period(start, end)
    found = _asked(data, as_json, lambda ledger: ledger.breach(officer, reason, worker, from_ms, to_ms))
    _sheet(Passed.__struct_fields__, map(plain, found.passed)) if as_csv else views.breach(found, as_json=as_json)


@app.command("erase")
def erase(
    officer: Asker,
    reason: Reason,
    subject: Subject = "",
    identity: Person = None,
    recipient: Recipient = "",
    output: Output = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sans demander. / Without asking.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Effacer une personne (RGPD art. 17) : sans retour. / Erase a person (GDPR art. 17): for good."""
    if not yes:
        typer.confirm(show.tr("Effacer sans retour ?", "Erase for good?"), abort=True, err=True)

    async def work(ledger: Door) -> Any:
        return await ledger.erase(officer, reason, await _whom(ledger, officer, reason, subject, identity, recipient))

    erased = _asked(data, as_json, work)
    if output:
        output.write_text(erased.certificate, encoding="utf-8")
    views.erased(erased, as_json=as_json)


@app.command("verify")
def verify_(
    file: Annotated[
        Path, typer.Argument(help="Dossier (.zip) ou certificat. / Dossier or certificate.", dir_okay=False)
    ],
    vkey: Annotated[str, typer.Option("--vkey", help="Clé du journal ; sinon celle du dossier. / The log's key.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Vérifier hors ligne un dossier ou un certificat d'effacement. / Verify a dossier or an erasure certificate, offline."""
    verifier = _verifier(vkey, data, as_json)
    try:
        if zipfile.is_zipfile(file):
            body, signed = _unzip(file)
            checked = verify(body, signed, verifier)
            facts = {"document": "dossier", "origin": checked.origin, "size": checked.size, "facts": checked.facts}
        else:
            lines = note.verify(file.read_text(encoding="utf-8"), verifier).split("\n")
            if lines[0] != f"{verifier.name}/erasure":
                raise BadDossier("another document")
            facts = {"document": "erasure", "origin": verifier.name, "size": int(lines[3]), "facts": int(lines[2])}
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None
    except (ValueError, IndexError, KeyError, zipfile.BadZipFile):
        show.fail(Code.BAD_CHECKPOINT, str(file), show.REFUSED, as_json=as_json)
    views.verified(facts, as_json=as_json)


def _asked(data: Path | None, as_json: bool, work: Callable[[Door], Awaitable[T]]) -> T:
    """The answer of the running ledger, or of a stopped one's store."""

    async def ask() -> T:
        async with opened(Settings().places(data), as_json) as ledger:
            return await work(ledger)

    return show.run(ask(), as_json=as_json)


async def _whom(ledger: Door, officer: str, reason: str, subject: str, identity: Path | None, recipient: str) -> bytes:
    person = _person(identity, recipient)
    found = await ledger.refer(officer, reason, person, recipient) if person else _reference(subject)
    if not found:
        raise typer.BadParameter("--subject / --identity + --recipient", param_hint="--subject")
    return found


def _person(identity: Path | None, recipient: str) -> bytes:
    """The canonical identity in a file; empty without one."""
    if identity is None:
        return b""
    if not recipient:
        raise typer.BadParameter(show.tr("avec --identity", "with --identity"), param_hint="--recipient")
    return canonical(read_identity(identity))


def _reference(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if len(found) not in (0, 32):
        raise typer.BadParameter(show.tr("64 chiffres hexadécimaux", "64 hexadecimal digits"), param_hint="--subject")
    return found


def _query(fields: dict[str, Any]) -> Query:
    try:
        return Query(**fields)
    except ValueError as error:
        raise typer.BadParameter(show.tr("valeur impossible", "impossible value"), param_hint=f"--{error}") from None


def _given(value: str, known: tuple[str, ...], option: str) -> str | None:
    return one_of(value, known, option) if value else None


def _period(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    asked = _query({"from_ms": moment_ms(start), "to_ms": moment_ms(end)})
    return asked.from_ms, asked.to_ms


def _verifier(vkey: str, data: Path | None, as_json: bool) -> note.Verifier:
    if vkey:
        try:
            return note.parse_verifier(vkey)
        except note.BadNote:
            raise typer.BadParameter(show.tr("clé illisible", "not a verifier key"), param_hint="--vkey") from None
    places = Settings().places(data)
    if not places.trust.exists():
        show.fail(Code.NO_LEDGER, str(places.trust), show.UNAVAILABLE, as_json=as_json)
    return Trust.load(places.trust).log


def _sheet(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    print(told.csv_text(columns, rows), end="")


def _unzip(file: Path) -> tuple[bytes, str]:
    with zipfile.ZipFile(file) as archive:
        parts = [archive.getinfo(name) for name in (told.DOCUMENT, told.NOTE)]
        if sum(part.file_size for part in parts) > _SIZE_MAX_BYTES:
            raise BadDossier("too large")
        body, signed = (archive.read(part) for part in parts)
    return body, signed.decode()
