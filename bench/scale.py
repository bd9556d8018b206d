"""The gate and release against more and more authorisations: throughput should not fall, nor memory grow. The gate reads what stands before
it begins, which is told as a part of its start, not of its rate.

At each size a ledger of its own is made (`bench.agreements.stock`) and as many requests are drawn over all its authorisations; then
all sizes take turns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from bench.arena import Stock, running, stocked
from bench.release_arena import PROVIDER
from bench.release_arena import Arena as Releases
from bench.report import (
    Contender,
    Figures,
    Result,
    Say,
    Target,
    Words,
    at_least,
    at_most,
    load_1m,
    machine,
    middle,
    ratio,
    versions,
)
from consent import certificates
from consent.certificates import Certificate
from consent.keys import read_or_make
from consent.ledger import Ledger
from consent.opening import Beside
from consent.stores import tables as t
from consent.stores.batch import select_rows
from consent.stores.engine import open_sqlite
from exchange.clock import SystemClock
from exchange.embedded.jars import Progress
from exchange.introduction import introduce_collectivity, introduce_provider, open_connector_keys, open_wallet
from exchange.sealing import public_bytes

FULL = (10_000, 100_000, 1_000_000, 10_000_000)
SMALL = (10_000, 100_000)
LABELS: dict[str, Words] = {
    "gate": ("portier", "gate"),
    "release": ("remise", "release"),
    "store": ("registre, sur disque", "ledger, on disk"),
}
KEPT = ("gate", "release")
RSS_MAX_BYTES = 400_000_000
Place = TypeVar("Place")


@dataclass(frozen=True)
class Size:
    """How many authorisations; at each, how many requests and how many answers."""

    authorisations: Sequence[int] = SMALL
    requests: int = 1_000_000
    answers: int = 20_000
    repeat: int = 3


async def run(size: Size, say: Say, progress: Progress | None = None) -> Result:
    """Each size in a folder of its own, of which nothing is left; all there at once, so that they take turns: a machine changes from one
    quarter of an hour to the next. Raises `WrongCount` or `Ended`."""
    before = load_1m()
    with ExitStack() as folders:
        stocks = [
            folders.enter_context(stocked(size.requests, count, say))
            for count in sorted(size.authorisations, reverse=True)
        ]
        stores = {stock.count: stock.places.store.stat().st_size for stock in stocks}
        released = await _released(stocks, size, say)
        gated = await _gated(stocks, size, say, progress)
    contenders = list[Contender]()
    for count in sorted(stores):
        store: Figures = {"size_bytes": float(stores[count]), "bytes_each": stores[count] / count}
        seen = {"gate": middle(gated[count]), "release": middle(released[count]), "store": store}
        contenders += [Contender(name, LABELS[name], figures, count) for name, figures in seen.items()]
    return result(size, contenders, before)


async def _gated(stocks: Sequence[Stock], size: Size, say: Say, progress: Progress | None) -> dict[int, list[Figures]]:
    """The gate's turns over each, by count."""
    async with AsyncExitStack() as stack:
        arenas = {stock.count: await stack.enter_async_context(running(stock, progress)) for stock in stocks}
        for arena in arenas.values():
            await arena.publish()
        return await _in_turn(arenas, size.repeat, "gate", say, lambda arena: arena.gate(read_first=True))


async def _released(stocks: Sequence[Stock], size: Size, say: Say) -> dict[int, list[Figures]]:
    """The turns of releases over each, by count: as `accord bench release`, for authorisations drawn over the whole stock, in this process,
    before any other has the store."""

    async def release(place: Releases) -> Figures:
        return await place.release(await place.load(size.answers))

    async with AsyncExitStack() as stack:
        places = {stock.count: await _releases(stack, stock, size.answers) for stock in stocks}
        return await _in_turn(places, size.repeat, "release", say, release)


async def _in_turn(
    places: Mapping[int, Place], repeat: int, name: str, say: Say, measure: Callable[[Place], Awaitable[Figures]]
) -> dict[int, list[Figures]]:
    """Each measured so many times, none twice before the others."""
    (fr, en), found = LABELS[name], {count: list[Figures]() for count in places}
    for turn in range(1, repeat + 1):
        for count, place in places.items():
            say(f"{fr}, {count:,} accords ({turn}/{repeat})", f"{en}, {count:,} agreements ({turn}/{repeat})")
            found[count].append(await measure(place))
    return found


async def _releases(stack: AsyncExitStack, stock: Stock, answers: int) -> Releases:
    engine, opener = open_sqlite(stock.places.store), Beside()
    stack.callback(engine.dispose)
    stack.push_async_callback(opener.aclose)
    connector = open_connector_keys(stock.places.connector(PROVIDER))
    wallet = open_wallet(stock.places, stock.settings)
    ledger = Ledger(engine, stock.keys, SystemClock(), lambda _: connector.mac, opener=opener)
    enrolment = Ed25519PrivateKey.from_private_bytes(read_or_make(stock.places.connector(PROVIDER) / "enrolment.key"))
    await introduce_provider(ledger, PROVIDER, connector, enrolment, SystemClock().now_ms())
    await introduce_collectivity(ledger, wallet, SystemClock().now_ms())
    return Releases(engine, stock.keys, ledger, wallet, connector, _certificates(engine, stock, answers))


def _certificates(engine: Engine, stock: Stock, most: int) -> tuple[Certificate, ...]:
    """Of live agreements drawn, at most so many."""
    issuer = public_bytes(stock.keys.certificate)
    ids = [agreement.authorisation for agreement in stock.agreements.values() if agreement.live][:most]
    with engine.connect() as connection:
        rows = select_rows(connection, t.authorisation, "id", ids, ("certificate",))
    return tuple(certificates.read(row.certificate, issuer) for row in rows)


def result(size: Size, contenders: Sequence[Contender], before: float) -> Result:
    """The largest size beside the smallest; judged where these are those the targets are about."""
    least, most = min(size.authorisations), max(size.authorisations)
    found = {(contender.name, contender.at): contender.figures for contender in contenders}
    whole = (least, most) == (FULL[0], FULL[-1])

    def kept(name: str) -> float | None:
        return ratio(found[name, most]["per_s"], found[name, least]["per_s"])

    ratios: Figures = {f"{name}_kept": kept(name) for name in KEPT}
    rss_bytes = found["gate", most].get("rss_bytes")
    targets: list[Target] = []
    for name in KEPT:
        fr, en = LABELS[name]
        label = f"{fr}, débit à 10 M / à 10 k accords", f"{en}, rate at 10 M / at 10 k agreements"
        targets.append(at_least(f"{name}_kept", label, ratios[f"{name}_kept"] if whole else None, 0.8))
    label = "mémoire du portier à 10 M, octets", "the gate's memory at 10 M, bytes"
    targets.append(at_most("gate_rss_bytes", label, rss_bytes if whole else None, RSS_MAX_BYTES))
    sizes: dict[str, int | str] = {"authorisations": most, "requests": size.requests, "answers": size.answers}
    return Result(
        "scale", ("Le passage à l'échelle", "Scale"), sizes, size.repeat, tuple(contenders), ratios, tuple(targets), machine(before), versions(), remarks(contenders)
    )  # fmt: skip


def remarks(contenders: Sequence[Contender]) -> tuple[Words, ...]:
    """What the rate does not count: the gate's start, of which most is its reading of all that stands."""
    starts = {one.at: start_s for one in contenders if one.at and (start_s := one.figures.get("start_s")) is not None}
    if not starts:
        return ()
    fr, en = (
        ", ".join(f"{s:.0f} s {at} {count:_}".replace("_", " ") for count, s in starts.items()) for at in ("à", "at")
    )
    return ((
        f"Le portier lit d'abord les accords en vigueur, ce que son débit ne compte pas : il est prêt après {fr} accords. Ses demandes sont "
        "relues toutes les 20 s pendant ce temps : elles restent en mémoire, comme celles qui viennent d'être écrites.",
        f"The gate reads the agreements in force first, which its rate does not count: it is ready after {en} agreements. Its requests are "
        "read through every 20 s meanwhile: they stay in memory, as those just written do.",
    ),)  # fmt: skip
