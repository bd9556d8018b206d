"""`accord ledger`: run the ledger's process, verify the log, show its head, prove an entry, write the public log, recover from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer
from msgspec.structs import asdict
from sqlalchemy import Engine

from consent import publish
from consent.client import connect, hang_up
from consent.core import note, proof
from consent.core.lost import Recovered
from consent.core.tiles import Tree
from consent.door import Door
from consent.keys import open_keys
from consent.ledger import Ledger
from consent.process import run_ledger
from consent.public_log import FOLDER, WITNESSES
from consent.receipts import ORGANISATIONS, read_parties
from consent.stores.engine import owned_store
from consent.stores.tree import fill
from consent.verify import cosigners
from consent.witness.client import NotCosigned, Place, ask, read_places
from exchange.cli import show
from exchange.cli.options import Data, Json, Name
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.introduction import introduce, open_wallet
from exchange.places import Places
from exchange.ports import Refused, Unavailable
from exchange.settings import Settings
from exchange.trust import Trust

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Le registre des accords. / The consent ledger.")


@app.command("run")
def run(
    data: Data = None,
    origin: Annotated[str, typer.Option("--origin")] = "",
    as_json: Json = False,
    name: Name = "ledger",
) -> None:
    """Faire tourner le registre, seul maître de ses clés. / Run the ledger, sole owner of its keys."""
    settings = Settings()
    places = settings.places(data)
    _witnesses(places)
    try:
        with show.explained(as_json=as_json):
            master = settings.master()
        ready = show.announcer(places, name, as_json)
        work = run_ledger(places, origin or settings.origin, ready, master, settings.suite)
        show.run(work, as_json=as_json)
    except note.BadNote:
        show.fail(Code.BAD_CHECKPOINT, str(places.root / FOLDER), show.CORRUPTED, as_json=as_json)


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
    places = Settings().places(data)

    async def work() -> str:
        async with opened(places, as_json) as ledger:
            return await ledger.checkpoint()

    text = show.run(work(), as_json=as_json)
    show.line(checkpoint=text) if as_json else print(text, end="")


@app.command("vkey")
def vkey(data: Data = None, as_json: Json = False) -> None:
    """Montrer la clé qui vérifie le journal. / Show the key that verifies the log."""
    places = Settings().places(data)
    if not places.trust.exists():
        show.fail(Code.NO_LEDGER, str(places.trust), show.UNAVAILABLE, as_json=as_json)
    key = str(Trust.load(places.trust).log)
    show.line(vkey=key) if as_json else print(key)


@app.command("proof")
def proof_(
    entry: Annotated[
        int,
        typer.Argument(help="Rang de l'entrée dans le journal. / The entry's index in the log.", min=0, max=2**63 - 1),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Fichier .tlog-proof à écrire. / File to write.", dir_okay=False, writable=True
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Prouver une entrée, hors ligne et pour toujours. / Prove an entry: verifiable offline, for good."""
    places = Settings().places(data)

    async def work() -> tuple[bytes, list[bytes], str]:
        async with opened(places, as_json) as ledger:
            return await ledger.proof(entry)

    try:
        leaf, path, head = show.run(work(), as_json=as_json)
    except ValueError:
        raise typer.BadParameter(
            show.tr("pas encore dans le journal", "not in the log yet"), param_hint="ENTRY"
        ) from None
    text = proof.write(proof.Proof(entry, tuple(path), head, leaf))
    witnesses = _witnesses(places)
    seen = cosigners(head, [place.witness for place in witnesses], SystemClock().now_ms() // 1000)
    status = "unwitnessed" if not witnesses else "final" if seen else "pending"
    if output:
        output.write_text(text, encoding="utf-8")
    if as_json:
        show.line(entry=entry, status=status, witnesses=seen, proof=text)
    elif not output:
        print(text, end="")
    said = {
        "pending": show.tr("en attente d'un témoin extérieur", "pending: no outside witness yet"),
        "final": show.tr("vu par un témoin extérieur", "final: seen by an outside witness"),
        "unwitnessed": show.tr("aucun témoin configuré", "no witness configured"),
    }
    if not as_json:
        show.errors.print(said[status])


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Dossier à servir. / Directory to serve.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Écrire le journal public en fichiers statiques (C2SP tlog-tiles). / Write the public log as static files."""
    places = Settings().places(data)

    async def work() -> str:
        async with opened(places, as_json) as ledger:
            text, source = await _public(ledger, places)
            publish.publish(folder.absolute(), source, [text])
            return text

    try:
        head = publish.head(show.run(work(), as_json=as_json))
    except publish.Diverged:
        show.fail(Code.BAD_CHECKPOINT, str(folder), show.REFUSED, as_json=as_json)
    except OSError as error:
        raise typer.BadParameter(f"{folder}: {error.strerror}", param_hint="FOLDER") from None
    show.line(
        folder=str(folder), origin=head.origin, size=head.size, root=head.root
    ) if as_json else show.console.print(f"{folder}  {head.origin}  {head.size}  {head.root.hex()}", soft_wrap=True)


@app.command("witness")
def witness(data: Data = None, as_json: Json = False) -> None:
    """Soumettre la tête publiée aux témoins configurés. / Submit the published head to the witnesses configured."""
    places = Settings().places(data)
    asked = _witnesses(places)
    if not asked:
        raise typer.BadParameter(str(places.root / WITNESSES), param_hint="--data")
    answers = show.run(_ask(places, asked, as_json), as_json=as_json)
    for place, answer in zip(asked, answers, strict=True):
        said, good = (str(answer), False) if isinstance(answer, NotCosigned) else (answer, True)
        show.line(
            witness=place.witness.name, url=place.url, cosigned=good, answer=said
        ) if as_json else show.console.print(f"{place.witness.name}  {said}", soft_wrap=True)
    raise typer.Exit(show.OK if any(isinstance(answer, str) for answer in answers) else show.UNAVAILABLE)


@app.command("introduce")
def introduce_(data: Data = None, as_json: Json = False) -> None:
    """Faire connaître au registre les fournisseurs et la collectivité de ce dossier. / Make this directory's providers and
    collectivity known to the ledger: keys in the directory, delegation, habilitations."""
    settings = Settings()
    places = settings.places(data)

    async def work() -> None:
        ledger = connect(places.socket)
        await introduce(ledger, places, open_wallet(places, settings))
        await hang_up(ledger)

    show.run(work(), as_json=as_json)
    show.line(introduced=settings.recipient) if as_json else show.console.print(settings.recipient)


@app.command("recover")
def recover(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Copie du journal public ; sinon celui de ce dossier. / A copy of the public log; else this directory's.",
            file_okay=False,
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Relire dans le journal public ce qu'une vieille sauvegarde n'a plus. / Read back from the public log what an old backup lacks."""
    places = Settings().places(data)
    found, seen = show.run(_recover(places, (folder or places.root / FOLDER).absolute(), as_json), as_json=as_json)
    if as_json:
        show.line(**asdict(found), witnesses=seen)
    else:
        show.console.print("\n".join(_recovered(found, seen)), soft_wrap=True)
    raise typer.Exit(show.UNAVAILABLE if found.missing else show.OK)


async def _recover(places: Places, folder: Path, as_json: bool) -> tuple[Recovered, dict[str, int]]:
    """All steps, and which witnesses cosigned the head that was read back to."""
    witnesses, text = [place.witness for place in _witnesses(places)], publish.published(folder)
    try:
        seen = cosigners(text, witnesses, SystemClock().now_ms() // 1000) if text else {}
    except ValueError:
        raise Refused(Code.LOG_UNUSABLE) from None
    async with opened(places, as_json) as ledger:
        found = step = await ledger.recover(str(folder))
        while step.went_on:
            found = found.then(step := await ledger.recover(str(folder)))
    return found, seen


def _recovered(found: Recovered, seen: dict[str, int]) -> Iterator[str]:
    """What was done, and what is left to do by people."""
    tr = show.tr
    yield tr(f"{found.reread} feuilles relues", f"{found.reread} leaves read back") + "".join(
        f"  {name}" for name in seen
    )
    if found.missing:
        yield tr(f"il en manque {found.missing}", f"{found.missing} are missing") + " → accord ledger recover"
    if found.register_lost:
        yield tr("habilitations, délégations et clés à redonner", "enter habilitations, delegations and keys again") + (
            " → accord ledger introduce"
        )
    if found.officers_lost:
        yield tr("délégués à désigner de nouveau", "appoint the officers again") + " → accord dpo appoint"
    if found.invalidated:
        yield tr(f"{found.invalidated} accords à redemander", f"{found.invalidated} agreements to ask for again")
    if found.rekeyed:
        yield tr(f"{found.rekeyed} accords ont une autre clé", f"{found.rekeyed} agreements have another key")
    if found.applied:
        yield tr(f"{found.applied} retraits appliqués", f"{found.applied} withdrawals applied")


async def _verify(places: Places, as_json: bool) -> tuple[list[str], str]:
    async with opened(places, as_json) as ledger:
        return await ledger.verify(), await ledger.checkpoint()


@asynccontextmanager
async def opened(places: Places, as_json: bool) -> AsyncIterator[Door]:
    """The running ledger if there is one, else its store, owned meanwhile: two processes never sign at once."""
    kept = places.trust if places.database else places.store
    if not kept.exists():
        show.fail(Code.NO_LEDGER, str(kept), show.UNAVAILABLE, as_json=as_json)
    if places.socket.exists():
        running = connect(places.socket)
        try:
            yield running
        finally:
            await hang_up(running)
        return
    with owned_store(places) as engine:
        yield await _stopped(places, engine)


async def _stopped(places: Places, engine: Engine) -> Ledger:
    """The ledger of a store that no process runs, bound by what it has published."""
    settings = Settings()
    keys = open_keys(
        places.ledger_keys, Trust.load(places.trust).log.name, settings.master(), settings.suite, make=False
    )
    fill(engine)
    ledger = Ledger(engine, keys, SystemClock(), lambda _: b"")
    ledger.parties = read_parties(places.root / ORGANISATIONS)
    text = publish.published(places.root / FOLDER)
    if text is not None:
        await ledger.anchor(text)
    return ledger


async def _public(ledger: Door, places: Places) -> tuple[str, publish.Source]:
    """The last checkpoint and its log: what the running ledger has published, else what its store holds."""
    if isinstance(ledger, Ledger):
        return await ledger.checkpoint(), ledger.source()
    text = publish.published(places.root / FOLDER)
    if text is None:
        raise Unavailable("nothing is published yet")
    return text, publish.Files(places.root / FOLDER)


async def _ask(places: Places, asked: Sequence[Place], as_json: bool) -> list[str | NotCosigned]:
    """Each witness's signature line on the last checkpoint, or why there is none. A stopped ledger keeps them; a running one asks for
    itself."""
    async with opened(places, as_json) as ledger, httpx.AsyncClient() as http:
        text, source = await _public(ledger, places)
        tree, now_s = Tree(publish.head(text).size, source.hashes), SystemClock().now_ms() // 1000

        async def one(place: Place) -> str | NotCosigned:
            try:
                return await ask(http, place, text, tree.consistency, now_s, tree.size)
            except NotCosigned as error:
                return error

        answers = list(await asyncio.gather(*(one(place) for place in asked)))
        if isinstance(ledger, Ledger):
            head = (await ledger.signed())[-1]
            await ledger.cosigned(head, [answer for answer in answers if isinstance(answer, str)])
        return answers


def _witnesses(places: Places) -> tuple[Place, ...]:
    try:
        return read_places(places.root / WITNESSES)
    except ValueError:
        raise typer.BadParameter(str(places.root / WITNESSES), param_hint=WITNESSES) from None
