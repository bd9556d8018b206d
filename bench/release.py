"""Answers released per second, beside what `cryptography` opens: the ledger on disk, each chunk durable, the opening of each answer
included, and the confirmation that each was published.

Each answer is sealed as a connector seals it, for an agreement of its own key, and was attempted for. The limit is one core doing nothing
but HPKE `open` on the same sealed keys, its private keys loaded beforehand, in the same run and in turn. Each ledger has released a slice
before anything counts: the process that opens beside it has started.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing

from bench import postgres
from bench.bare import OURS
from bench.ledger import store
from bench.release_arena import new_arena
from bench.release_pair import CORES, two_and_one
from bench.report import (
    Contender,
    Figures,
    Machine,
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
from consent.keys import ephemeral
from consent.opening import Beside
from exchange.agents.release import SLICE

TITLE = ("Réponses remises", "Answers released")
_STORES = {"sqlite": ("SQLite", 0.65), "postgresql": ("PostgreSQL", 0.5)}
"""What a store is called, and its target."""
_PAIR: tuple[tuple[str, Words], ...] = (
    ("two", ("deux registres à la fois, SQLite", "two ledgers at once, SQLite")),
    ("one", ("un seul, SQLite", "one alone, SQLite")),
)


async def run(answers: int, agreements: int, repeat: int, say: Say, server: str = "") -> Result:
    """On SQLite in a folder and on PostgreSQL: the `server` of this URL, else one of our own where it is installed. In turn; nothing is
    left. Raises `WrongCount` rather than give a wrong figure."""
    before, opens, releases = load_1m(), list[Figures](), dict[str, list[Figures]]()
    async with AsyncExitStack() as stack:
        opener = await stack.enter_async_context(aclosing(Beside()))
        places = [stack.enter_context(store(place)) for place in ("", *_servers(stack, server))]
        names = [name for _, name in places]
        arenas = [
            await new_arena(engine, ephemeral("accord.bench/release"), agreements, opener) for engine, _ in places
        ]
        for arena in arenas:
            await arena.begin()
        for turn in range(repeat):
            for name, arena in zip(names, arenas, strict=True):
                say(
                    f"{name}, réponses à remettre ({turn + 1}/{repeat})",
                    f"{name}, answers to release ({turn + 1}/{repeat})",
                )
                load = await arena.load(answers)
                opens.append(arena.open(load))
                releases.setdefault(name.split()[0], []).append(await arena.release(load))
    found = {kind: middle(turns) for kind, turns in releases.items()}
    sizes: dict[str, int | str] = {
        "answers": answers,
        "agreements": agreements,
        "slice": SLICE,
        "store": ", ".join(names),
    }
    where, pair = machine(before), None
    if where.cores >= CORES:
        say("deux registres à la fois, et un seul", "two ledgers at once, and one")
        pair = await two_and_one(answers, agreements, repeat)
    return result(sizes, repeat, middle(opens), found, where, pair)


def _servers(stack: AsyncExitStack, server: str) -> list[str]:
    if server or (bin_folder := postgres.programs()) is None:
        return [server] if server else []
    return [stack.enter_context(postgres.running(bin_folder)).url()]


def result(
    sizes: dict[str, int | str],
    repeat: int,
    limit: Figures,
    found: Mapping[str, Figures],
    where: Machine,
    pair: tuple[Figures, Figures] | None = None,
) -> Result:
    """Each kind of store beside the limit; two ledgers at once beside one (`pair`). What was not measured is said."""
    contenders, ratios, targets, remarks = list[Contender](), Figures(), list[Target](), list[Words]()
    for kind, (told, least) in _STORES.items():
        name = f"release_to_open_{kind}"
        ratios[name] = ratio(found.get(kind, {}).get("per_s"), limit["per_s"])
        label = (f"remises / ouvertures nues, {told}", f"releases / bare opens, {told}")
        targets.append(at_least(name, label, ratios[name], least))
        if kind in found:
            contenders.append(Contender(f"release-{kind}", (f"remises, {told}", f"releases, {told}"), found[kind]))
        else:
            remarks.append((f"{told} n'est pas installé : non mesuré.", f"{told} is not installed: not measured."))
    if pair is None:
        remarks.append((
            f"Un registre occupe deux cœurs, sa base et l'ouverture des sceaux ; cette machine en a {where.cores} : deux à la fois, non mesurés.",
            f"One ledger keeps two cores busy, its store and the opening of seals; this machine has {where.cores}: two at once, not measured.",
        ))  # fmt: skip
    else:
        contenders += [Contender(name, label, figures) for (name, label), figures in zip(_PAIR, pair, strict=True)]
    remarks.append(OURS)
    ratios["two_to_one"] = ratio(pair[0]["per_s"], pair[1]["per_s"]) if pair else None
    label = ("deux registres à la fois / un seul", "two ledgers at once / one")
    targets.append(at_least("two_to_one", label, ratios["two_to_one"], 1.7))
    bare = Contender("open", ("ouvertures nues", "bare opens"), limit)
    return Result(
        "release", TITLE, sizes, repeat, (*contenders, bare), ratios, tuple(targets), where, versions(), tuple(remarks)
    )
