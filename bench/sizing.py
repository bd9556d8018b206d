"""A whole country on paper, `docs/scale.md`: machines, partitions, shards, disk, network and cost from measured figures.

30 M citizens, 35 k communes, 10 k requests/s at the peak. Nothing runs above half of what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from bench.page import number
from bench.report import Result

WANTED = ("gate", "release", "ledger", "scale")
"""The benches whose results the sizing rests on."""
_DAY_S, _YEAR_DAYS, _MONTHS = 86_400, 365, 12


@dataclass(frozen=True)
class Assumed:
    """What no measure tells. Sizes in bytes, prices in euros a month."""

    citizens: int = 30_000_000
    communes: int = 35_000
    peak_per_s: int = 10_000
    agreements_each: int = 3
    requests_each_a_year: int = 24
    busiest_day: int = 10
    """Times the mean day."""
    answer_bytes: int = 2_000
    operators: int = 150
    """Who run the bus for the communes: departments, unions of communes, vendors."""
    used: float = 0.5
    """Of what was measured, at the peak."""
    replicas: int = 3
    retention_days: int = 7
    shard_authorisations: int = 10_000_000
    """As many as were measured on one store."""
    core_price: float = 20.0
    gigabyte_price: float = 0.1


@dataclass(frozen=True)
class Measured:
    """What the benches say of one core (gate, release) and one store (ledger), on the machine they name."""

    gate_per_s: float
    release_per_s: float
    leaves_per_s: float
    record_bytes: int
    leaf_bytes: int
    authorisation_bytes: float
    machine: str


@dataclass(frozen=True)
class Sizing:
    """How many of each; disk in bytes on all replicas, network in bits a second."""

    authorisations: int
    requests_a_year: int
    gate_workers: int
    release_workers: int
    shards: int
    partitions_each: int
    partitions: int
    kafka_bytes: int
    ledger_bytes: int
    ledger_bytes_a_year: int
    network_bits_per_s: int
    cores: int
    euros_a_month: int


def measured(results: Mapping[str, Result]) -> Measured | None:
    """None while one of `WANTED` has no result, or lacks its figure."""
    if missing(results):
        return None
    gate, ledger = results["gate"], results["ledger"]
    gates, releases, leaves, each = (float(_rate(name, results[name]) or 0) for name in WANTED)
    sizes = int(gate.sizes["record_bytes"]), int(ledger.sizes["leaf_bytes"])
    return Measured(gates, releases, leaves, *sizes, each, f"{gate.machine.cores} × {gate.machine.cpu}")


def missing(results: Mapping[str, Result]) -> list[str]:
    """Which of `WANTED` have no result, or not the figure that is wanted of them."""
    return [name for name in WANTED if name not in results or _rate(name, results[name]) is None]


def _rate(name: str, result: Result) -> float | None:
    """What one unit does: a gate, a release worker on the production store, a ledger's log; of `scale`, the bytes of an agreement."""
    if name == "scale":
        return result.figures("store", int(result.sizes["authorisations"])).get("bytes_each")
    if name == "ledger":
        return _least(result.figures("append", int(result.sizes["leaves"])))
    return _least(result.figures("release-postgresql" if name == "release" else name))


def _least(figures: Mapping[str, float | None]) -> float | None:
    """Of wall and CPU rate: a core does not do more than it did beside the broker, nor than it used."""
    seen = [value for name in ("per_s", "per_cpu_s") if (value := figures.get(name)) is not None]
    return min(seen, default=None)


def sizing(found: Measured, assumed: Assumed) -> Sizing:
    """Plain arithmetic: each need over half of what one core or store was seen to do, rounded up."""
    a, peak = assumed, assumed.peak_per_s
    authorisations, requests = a.citizens * a.agreements_each, a.citizens * a.requests_each_a_year
    gates, releases = ceil(peak / (found.gate_per_s * a.used)), ceil(peak / (found.release_per_s * a.used))
    writes = ceil(peak / (min(found.leaves_per_s, found.release_per_s) * a.used))
    shards = max(ceil(authorisations / a.shard_authorisations), writes)
    partitions_each = 4
    shared = 3 * max(
        4 * gates, 4 * releases
    )  # tasks, answers and verdicts: four a worker, so that one more or less moves little
    exchange_bytes = 2 * found.record_bytes + 2 * a.answer_bytes  # request and task, answer and outcome
    kept_days = requests * a.busiest_day / _YEAR_DAYS * a.retention_days
    copies = a.replicas + 1  # written to each replica, read once
    cores = gates + releases + 2 * shards + 3 * a.replicas
    kafka_bytes = round(kept_days * exchange_bytes * a.replicas)
    year_bytes = round(requests * 3 * found.leaf_bytes)  # a leaf, its outcome's row, their indexes
    ledger_bytes = round(authorisations * found.authorisation_bytes) * 2  # the store and its copy
    disk = kafka_bytes + ledger_bytes + 2 * year_bytes
    return Sizing(
        authorisations, requests, gates, releases, shards, partitions_each, shared + partitions_each * 2 * a.operators, kafka_bytes,
        ledger_bytes, 2 * year_bytes, peak * exchange_bytes * copies * 8, cores,
        round(cores * a.core_price + disk / 1e9 * a.gigabyte_price),
    )  # fmt: skip


def page(results: Mapping[str, Result], assumed: Assumed = Assumed()) -> str:
    """`docs/scale.md`."""
    found = measured(results)
    if found is None:
        names = ", ".join(f"`{name}`" for name in missing(results))
        return f"{_HEAD}\nPas encore mesuré · *not measured yet*: {names}. `accord bench all`\n"
    return "\n".join([_HEAD, _inputs(found, assumed), _needs(sizing(found, assumed), found, assumed), _NOTES])


_HEAD = """# Un pays entier, sur le papier · A whole country, on paper

Page écrite par `accord bench draw` depuis les mesures ([bench.md](bench.md)) et les hypothèses ci-dessous (`bench/sizing.py`).
*Written by `accord bench draw` from the measures and the assumptions below.*
"""

_NOTES = """## Ce que cela ne dit pas · What this does not say

- Les cœurs sont ceux de la machine mesurée, broker compris sur les mêmes cœurs : un vrai cluster fait mieux. *Cores are those measured, the broker on the same ones.*
- Un tesson du registre est un journal entier, avec son origine et ses témoins ; une autorisation est dans un seul (`authorisation_id`). Une demande n'en touche qu'un :
  rien n'est à coordonner entre eux. *A shard is a whole log with its own origin and witnesses; a request touches one only.*
- Le débit des API de l'État n'est pas compté : c'est lui qui limite. *The State APIs' own limits are not counted: they bind first.*
"""


def _inputs(found: Measured, a: Assumed) -> str:
    rows = (
        ("demandes par seconde, au plus fort", "requests a second, at the peak", a.peak_per_s, "hypothèse · assumed"),
        ("citoyens", "citizens", a.citizens, "hypothèse · assumed"),
        ("communes", "communes", a.communes, "hypothèse · assumed"),
        ("exploitants", "operators", a.operators, "hypothèse · assumed"),
        ("accords par citoyen", "agreements a citizen", a.agreements_each, "hypothèse · assumed"),
        ("demandes par citoyen et par an", "requests a citizen a year", a.requests_each_a_year, "hypothèse · assumed"),
        ("le jour le plus chargé, en jours moyens", "busiest day, in mean days", a.busiest_day, "hypothèse · assumed"),
        ("octets d'une réponse", "bytes of an answer", a.answer_bytes, "hypothèse · assumed"),
        ("part utilisée de ce qui est mesuré", "share used of what was measured", a.used, "hypothèse · assumed"),
        ("décisions par seconde et par cœur", "decisions a second a core", found.gate_per_s, "`gate`"),
        ("remises par seconde et par cœur", "releases a second a core", found.release_per_s, "`release`"),
        (
            "feuilles durables par seconde et par tesson",
            "durable leaves a second a shard",
            found.leaves_per_s,
            "`ledger`",
        ),
        ("octets d'une demande", "bytes of a request", found.record_bytes, "`gate`"),
        ("octets d'une feuille", "bytes of a leaf", found.leaf_bytes, "`ledger`"),
        ("octets d'un accord au registre", "bytes of an agreement in the ledger", found.authorisation_bytes, "`scale`"),
    )
    lines = [f"| {fr} · *{en}* | {number(value)} | {source} |" for fr, en, value, source in rows]
    head = f"## D'où l'on part · Where from\n\nMesuré sur · *measured on* {found.machine}.\n"
    return "\n".join([head, "| | | |", "|---|---:|---|", *lines, ""])


def _needs(s: Sizing, found: Measured, a: Assumed) -> str:
    peak, half = number(a.peak_per_s), number(a.used)
    rows = (
        ("accords vivants", "live agreements", number(s.authorisations), f"{number(a.citizens)} × {a.agreements_each}"),
        ("demandes par an", "requests a year", number(s.requests_a_year), f"{number(a.citizens)} × {a.requests_each_a_year}"),
        ("agents du portier", "gate workers", number(s.gate_workers), f"{peak} / ({number(found.gate_per_s)} × {half})"),
        ("agents de remise", "release workers", number(s.release_workers), f"{peak} / ({number(found.release_per_s)} × {half})"),
        ("tessons du registre", "ledger shards", number(s.shards), f"≤ {number(a.shard_authorisations)} accords · agreements; {peak}/s"),
        ("partitions", "partitions", number(s.partitions), f"{s.partitions_each} × 2 par exploitant · an operator; 4 × 3 par agent · a worker"),
        ("disque de Kafka", "Kafka's disk", _size(s.kafka_bytes), f"{a.retention_days} j · days × {a.replicas} copies"),
        ("disque du registre", "the ledger's disk", _size(s.ledger_bytes), "et une copie · and a copy"),
        ("et chaque année", "and each year", _size(s.ledger_bytes_a_year), "feuilles et issues · leaves and outcomes"),
        ("réseau des brokers, au plus fort", "brokers' network, at the peak", f"{s.network_bits_per_s / 1e9:.2g} Gbit/s", ""),
        ("cœurs", "cores", number(s.cores), f"agents + 2 × tessons · shards + 3 × {a.replicas} brokers"),
        ("coût par mois", "cost a month", f"{number(s.euros_a_month)} €", f"{a.core_price:g} € / cœur · core, {a.gigabyte_price:g} € / Go · GB"),
    )  # fmt: skip
    lines = [f"| {fr} · *{en}* | {value} | {how} |" for fr, en, value, how in rows]
    return "\n".join(["## Ce qu'il faut · What it takes\n", "| | | |", "|---|---:|---|", *lines, ""])


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e12:.3g} To · TB" if size_bytes >= 1e12 else f"{size_bytes / 1e9:.3g} Go · GB"
