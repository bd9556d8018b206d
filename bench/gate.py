"""The gate beside the raw echo of the same records, Kafka Streams and Faust: one machine, one broker, one run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.arena import Arena, arena
from bench.peers_streams import Absent, built, peers
from bench.report import (
    Contender,
    Figures,
    Result,
    Say,
    Target,
    Words,
    at_least,
    load_1m,
    machine,
    middle,
    ratio,
    versions,
)
from exchange.adapters.kafka import KafkaOutbox
from exchange.embedded.jars import Progress

FAUST_SOURCE = "faust-requests.v1"
Turn = Callable[[int], Awaitable[Figures]]
"""One measure, the how-manieth it is."""


@dataclass(frozen=True)
class Size:
    """How much, and how many times each contender. `faust`: Faust takes one event at a time, it gets fewer."""

    requests: int = 1_000_000
    authorisations: int = 50_000
    repeat: int = 3
    faust: int = 20_000
    peers: bool = True


LABELS: dict[str, Words] = {
    "echo": ("écho brut", "raw echo"),
    "gate": ("portier", "gate"),
    "streams": ("Kafka Streams", "Kafka Streams"),
    "streams-raw": ("Kafka Streams, réglé à la main", "Kafka Streams, hand-tuned"),
    "faust": ("Faust, par événement", "Faust, per event"),
}
_CPU: Words = ("par seconde de processeur", "per CPU-second")


async def run(size: Size, say: Say, progress: Progress | None = None) -> Result:
    """The whole bench in a folder of its own; nothing is left. Raises `WrongCount` or `Ended` rather than give a wrong figure."""
    before = load_1m()
    async with arena(size.requests, size.authorisations, say, progress) as place:
        say("chargement des demandes", "loading the requests")
        record_bytes = await place.publish() // size.requests
        await place.topic("echo.v1")
        turns: dict[str, Turn] = {"echo": lambda n: place.copies("bench.echo", "echo", place.load, place.source, n)}
        turns["gate"] = lambda _: place.gate()
        remarks: tuple[Words, ...] = ()
        if size.peers:
            remarks = await _streams(place, record_bytes, turns, say)
            await _faust(place, size.faust, turns)
        seen = await in_turn(turns, size.repeat, say)
    sizes: dict[str, int | str] = {
        "requests": size.requests,
        "authorisations": size.authorisations,
        "record_bytes": record_bytes,
    }
    if size.peers:
        sizes["faust_requests"] = min(size.faust, size.requests)
    contenders = tuple(Contender(name, LABELS[name], middle(found)) for name, found in seen.items())
    ratios, targets = judged({contender.name: contender.figures for contender in contenders})
    return Result(
        "gate", ("Le portier", "The gate"), sizes, size.repeat, contenders, ratios, targets, machine(before), versions(), remarks
    )  # fmt: skip


async def in_turn(turns: dict[str, Turn], repeat: int, say: Say) -> dict[str, list[Figures]]:
    """Each contender once, then all again: what the machine does meanwhile falls on all of them."""
    seen: dict[str, list[Figures]] = {name: [] for name in turns}
    for turn in range(repeat):
        for name, take in turns.items():
            fr, en = LABELS[name]
            say(f"{fr} ({turn + 1}/{repeat})", f"{en} ({turn + 1}/{repeat})")
            seen[name].append(await take(turn))
    return seen


async def _streams(place: Arena, record_bytes: int, turns: dict[str, Turn], say: Say) -> tuple[Words, ...]:
    """Kafka Streams among the contenders; else why not."""
    say("Kafka Streams : construction, chargement", "Kafka Streams: build, load")
    try:
        classes = built()
    except Absent as error:
        return (error.words,)
    for peer in peers(place, classes):
        await peer.load(record_bytes)
        turns[peer.form.name] = lambda _, peer=peer: peer.measure()  # type: ignore[misc]  # bound now, not when called
    return ()


async def _faust(place: Arena, count: int, turns: dict[str, Turn]) -> None:
    """Faust among the contenders, on the first requests of the same load, in a topic of their own."""
    load = place.less(count)
    await place.topic(FAUST_SOURCE)
    await place.topic("faust.v1")
    async with KafkaOutbox(place.bus.bootstrap) as outbox:
        await load.publish(outbox, FAUST_SOURCE)
    turns["faust"] = lambda turn: place.copies("bench.peers_faust", "faust", load, FAUST_SOURCE, turn)


def judged(found: dict[str, Figures]) -> tuple[Figures, tuple[Target, ...]]:
    """The gate's rates over each other's; figures of who was not measured are missing, not zero."""
    ours = found["gate"]

    def over(other: str, figure: str = "per_s") -> float | None:
        return ratio(ours[figure], found.get(other, {}).get(figure))

    bounds = (("echo", "", 0.6), ("streams", "cpu", 2.5), ("streams-raw", "cpu", 1.5), ("faust", "", 40.0))
    targets: list[Target] = []
    for other, cpu, limit in bounds:
        fr, en = LABELS[other]
        name = f"gate_to_{other}"
        targets.append(at_least(name, (f"portier / {fr}", f"gate / {en}"), over(other), limit))
        if cpu:
            label = f"portier / {fr}, {_CPU[0]}", f"gate / {en}, {_CPU[1]}"
            targets.append(at_least(f"{name}_cpu", label, over(other, "per_cpu_s"), limit))
    ratios = {target.name: target.found for target in targets} | {"gate_to_echo_cpu": over("echo", "per_cpu_s")}
    return ratios, tuple(targets)
