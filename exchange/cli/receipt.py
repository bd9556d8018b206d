"""`accord receipt`: the receipt of an agreement, for a machine or on paper, and its verification with nothing but keys."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from consent import verify_receipt
from consent.core import record
from consent.public_log import WITNESSES
from consent.verify import Pending, Policy, policy
from consent.verify_receipt import BadReceipt, OtherEdition, Proven
from consent.witness.client import read_places
from exchange.cli import show
from exchange.cli.consent import Agreement
from exchange.cli.ledger import opened
from exchange.cli.options import Data, Json, parse_id
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.core.rendering import rfc3339
from exchange.places import Places
from exchange.settings import Settings
from exchange.trust import Trust

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Les reçus des accords. / Receipts of agreements.")


class Format(StrEnum):
    """What a receipt may be written as."""

    TLOG_PROOF = "tlog-proof"
    JSON_LD = "json-ld"
    RECORD = "record"
    PDF = "pdf"


class Language(StrEnum):
    """Of the page."""

    FR = "fr"
    EN = "en"


FORMS = {
    "pdf": ("page imprimable (PDF)", "printable page (PDF)"),
    "json-ld": ("JSON-LD", "JSON-LD"),
    "tlog-proof": ("preuve d'inscription (tlog-proof)", "proof of inclusion (tlog-proof)"),
}
STATUSES = {
    "final": ("définitive, vue par un témoin extérieur", "final, seen by an outside witness"),
    "pending": ("en attente d'un témoin extérieur", "pending: no outside witness yet"),
    "unwitnessed": ("le registre seul, aucun témoin connu ici", "the log alone, no witness known here"),
}


@app.command("show")
def show_(
    agreement: Agreement,
    form: Annotated[Format, typer.Option("--format", help="Forme du reçu. / Form of the receipt.")] = Format.JSON_LD,
    lang: Annotated[Language, typer.Option("--lang", help="Langue de la page. / Language of the page.")] = Language.FR,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Fichier à écrire. / File to write.", dir_okay=False, writable=True),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Donner le reçu d'un accord. / Give the receipt of an agreement."""
    authorisation, places = parse_id(agreement), Settings().places(data)
    if form is Format.PDF and output is None and sys.stdout.isatty():
        raise typer.BadParameter(show.tr("un fichier à écrire", "a file to write"), param_hint="-o")

    async def work() -> str:
        async with opened(places, as_json) as ledger:
            return await ledger.receipt(authorisation)

    written = write(show.run(work(), as_json=as_json), form, lang)
    if output is None:
        sys.stdout.buffer.write(written)
        return
    output.write_bytes(written)
    show.line(file=str(output), size_bytes=len(written)) if as_json else show.console.print(str(output))


def write(text: str, form: Format, lang: str) -> bytes:
    """A receipt in one of its forms, from the JSON-LD the ledger gave."""
    if form is Format.JSON_LD:
        return text.encode()
    from consent import paper  # a page needs typst

    document = record.parse(text)
    if form is Format.TLOG_PROOF:
        return paper.act_proof(document).encode()
    return record.dump(record.record(document)).encode() if form is Format.RECORD else paper.draw(document, lang)


@app.command("verify")
def verify(
    file: Annotated[
        Path, typer.Argument(help="Le reçu, sous l'une de ses formes. / In any form.", exists=True, dir_okay=False)
    ],
    vkey: Annotated[str, typer.Option("--vkey", help="Clé du registre ; sinon celle de --data. / The log's key.")] = "",
    witness: Annotated[
        list[str] | None, typer.Option("--witness", help="Clé d'un témoin, répétable. / A witness's key.")
    ] = None,
    quorum: Annotated[int, typer.Option("--quorum", help="Témoins exigés. / Witnesses required.", min=0)] = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Vérifier un reçu, hors ligne : PDF, JSON-LD ou tlog-proof. / Verify a receipt, offline."""
    trusted = _policy(Settings().places(data), vkey, witness or [], quorum, as_json)
    try:
        proven = verify_receipt.verify(file.read_bytes(), trusted, SystemClock().now_ms() // 1000)
    except Pending:
        show.fail(Code.RECEIPT_PENDING, "", show.REFUSED, as_json=as_json)
    except OtherEdition:
        show.fail(Code.PAGE_NOT_COMPARED, "", show.REFUSED, as_json=as_json)
    except BadReceipt:
        show.fail(Code.BAD_RECEIPT, "", show.REFUSED, as_json=as_json)
    facts = _facts(proven)
    if as_json:
        show.line(**facts)
        return
    show.console.print(f"[bold]{show.tr('Reçu authentique', 'Genuine receipt')}[/]  {show.tr(*FORMS[proven.form])}")
    for name, words in _SAID.items():
        if name in facts:
            value = facts[name]
            said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            show.console.print(f"{show.tr(*words):>18}  {show.tr(*STATUSES[said]) if name == 'status' else said}", markup=False, soft_wrap=True)  # fmt: skip


_SAID = {
    "recorded": ("inscrit", "recorded"),
    "at": ("le", "on"),
    "log": ("registre", "log"),
    "entry": ("entrée", "entry"),
    "status": ("garantie", "guarantee"),
    "recipient": ("collectivité", "local authority"),
    "data_set": ("données", "data"),
    "scopes": ("informations", "information"),
    "purpose": ("finalité", "purpose"),
    "basis": ("titre", "basis"),
    "not_before": ("du", "from"),
    "not_after": ("au", "until"),
    "channel": ("recueilli par", "collected by"),
    "state": ("état", "state"),
    "uses": ("utilisations", "uses"),
    "issued": ("reçu établi le", "issued on"),
}


def _facts(proven: Proven) -> dict[str, Any]:
    """What is proven, as names and values."""
    facts: dict[str, Any] = {
        "ok": True, "form": proven.form, "status": proven.status, "log": proven.origin, "entry": proven.leaf_index,
        "recorded": proven.kind, "at": rfc3339(proven.at_ms), "witnesses": list(proven.witnesses),
    }  # fmt: skip
    if proven.life is None or proven.document is None:
        return facts
    terms, told = proven.life.terms, proven.document["dpv:hasRecordOfActivity"]
    return facts | {
        "consent": told["dct:identifier"], "recipient": terms.recipient, "data_set": terms.data_set, "scopes": list(terms.scopes),
        "purpose": terms.purpose, "basis": terms.basis, "not_before": rfc3339(terms.not_before_ms), "not_after": rfc3339(terms.not_after_ms),
        "channel": proven.life.act.collected.channel, "assisted": proven.life.act.collected.assisted,
        "state": proven.life.state.value, "uses": told["accord:uses"], "issued": proven.document["dct:created"]["@value"],
    }  # fmt: skip


def _policy(places: Places, vkey: str, witnesses: list[str], quorum: int, as_json: bool) -> Policy:
    """Keys as given, else as the data directory pins them."""
    if not vkey and not places.trust.exists():
        show.fail(Code.NO_LEDGER, str(places.trust), show.UNAVAILABLE, as_json=as_json)
    try:
        if not vkey:
            vkey = str(Trust.load(places.trust).log)
            witnesses = witnesses or [str(place.witness) for place in read_places(places.root / WITNESSES)]
        return policy(vkey, witnesses, quorum)
    except (ValueError, LookupError):
        raise typer.BadParameter(
            show.tr("clés inutilisables", "unusable keys"), param_hint="--vkey, --witness, --quorum"
        ) from None
