"""A consent record or receipt as JSON-LD: ISO/IEC TS 27560 in the rendering of the W3C Data Privacy Vocabulary (DPV 2, guide
"Consent Records and Receipts as per ISO/IEC TS 27560:2023"). Ours (`consent.core.record`) are such records.

Names are compared without their prefix or namespace; a `@graph` is read from its consent record on. No context is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from consent.core.facts import Channel
from consent.core.importing import drafts as d
from consent.core.importing.drafts import Bounds, Draft, Known, Names, Objection, Part, Reasons

FORMAT = "dpv-27560"
USES_UNSTATED = 100
"""Where a record does not bound uses: fewer than it allows."""

_GIVEN = {"ConsentGiven", "RenewedConsentGiven"}
_CONSENT = {"A6-1-a", "A9-2-a", "Consent", "InformedConsent", "ExpressedConsent", "ExplicitlyExpressedConsent"}
_SPOKEN_FOR = {"Representative", "ParentOfDataSubject", "GuardianOfDataSubject", "GuardianOfMinor"}
_DURATION = re.compile(
    r"P(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:\d{1,9}[HMS])+)?", re.ASCII
)
_DEPTH, _NODES = 8, 100_000

Node = dict[str, Any]


class _Status(NamedTuple):
    """An event: types, time, how long it holds, who indicated it how."""

    types: set[str]
    at_ms: int | None
    node: Node


def find(artefact: dict[str, Any]) -> Node | None:
    """The consent record in a JSON-LD document, by local names and with references resolved; None if it is something else."""
    graph = artefact.get("@graph")
    nodes = [n for n in graph if isinstance(n, dict)] if isinstance(graph, list) else [artefact]
    reader = _Reader({str(n["@id"]): n for n in nodes if "@id" in n} if isinstance(graph, list) else {})
    for node in (reader.local(n, _DEPTH) for n in nodes):
        sealed = {"proof": True} if node and "proof" in node else {}
        for record in _objects(node.get("hasRecordOfActivity", node)) if node else []:
            if _types(record) & {"ConsentRecord", "DataProcessingRecord"} or "hasConsentStatus" in record:
                return record | sealed
    return None


def read(record: Node, names: Names, known: Known, reasons: Reasons) -> list[Draft]:
    profiles = [p for p in _texts(record.get("conformsTo")) if "27560" not in p and "legal-basis" not in p]
    if profiles:
        reasons.against(Objection.PROFILE_UNKNOWN, "dct:conformsTo")
    notice = _notice(record, reasons)
    _unchecked(record, reasons)
    drafts = []
    for process in _objects(record.get("hasProcess")) or [record]:
        whole = {**record, **process}  # a process inherits what its record says
        basis = [_name(b) for node in d.as_list(whole.get("hasLegalBasis")) for b in _named(node)]
        if "DataProcessingRecord" in _types(record) or not (set(basis) & _CONSENT or not basis):
            reasons.against(Objection.BASIS_NOT_CONSENT, "dpv:hasLegalBasis")
        parties = [
            t for node in d.as_list(whole.get("hasRecipient") or whole.get("hasDataController")) for t in _named(node)
        ]
        d.recipient(parties, names, known, "dpv:hasRecipient", reasons)
        status = _given(whole, reasons)
        bounds = _bounds(whole, status, known, reasons)
        drafts += [
            Draft(d.terms(part, bounds, known, *notice), _channel(record, status), "proof" in record)
            for part in _parts(whole, names, known, reasons)
        ]
    return drafts


def _given(node: Node, reasons: Reasons) -> _Status:
    """The event that holds: the last one, which must be a consent given."""
    found = [
        _Status({*_types(s), *map(_name, _named(s))}, d.time_ms(_text(s.get("isIndicatedAtTime"))), s)
        for s in map(_node, d.as_list(node.get("hasConsentStatus")))
    ]
    dated = sorted((s for s in found if s.at_ms is not None), key=lambda s: s.at_ms or 0)
    undated = [s for s in found if s.at_ms is None]
    last = dated[-1] if dated else _Status(set(), None, {})
    if not found or any(not s.types & _GIVEN for s in [*undated, *dated[-1:]]):
        reasons.against(Objection.NOT_GIVEN, "dpv:hasConsentStatus")
    if any(_types(_node(who)) & _SPOKEN_FOR for who in d.as_list(last.node.get("isIndicatedBy"))):
        reasons.against(Objection.REPRESENTED, "dpv:isIndicatedBy")
    return last


def _bounds(whole: Node, status: _Status, known: Known, reasons: Reasons) -> Bounds:
    start_ms = d.time_ms(_text(whole.get("notBefore")))
    start_ms = status.at_ms if start_ms is None else start_ms
    end_ms, uses = d.time_ms(_text(whole.get("notAfter"))), _uses(whole, status)
    if end_ms is None:
        end_ms = _end_ms(status.node.get("hasDuration"), status.at_ms)
    d.validity(start_ms, end_ms, known, ("dpv:isIndicatedAtTime", "dpv:hasDuration"), reasons)
    if uses is None:
        reasons.against(Objection.FREQUENCY, "dpv:hasFrequency")
    used = d.whole(whole.get("uses", 0), 0, d.USES_MAX)
    if used is None or (uses is not None and used >= uses):
        reasons.against(Objection.USED_UP, "accord:uses")
    lives = [
        n.get("hasDuration") for n in _objects(whole.get("hasStorageCondition")) if n.get("hasDuration") is not None
    ]
    days = min((_days(life) for life in lives), default=None, key=lambda found: -1 if found is None else found)
    if days is None or days > d.DATA_LIFE_MAX_DAYS:
        reasons.against(Objection.DATA_LIFE, "dpv:hasStorageCondition")
    return Bounds(start_ms or 0, end_ms or 0, max(1, (uses or 1) - (used or 0)), min(days or 0, d.DATA_LIFE_MAX_DAYS))


def _uses(whole: Node, status: _Status) -> int | None:
    """How many uses are allowed; None for a frequency without bound or that we cannot keep to."""
    if "maximumUses" in whole:
        return d.whole(whole["maximumUses"], 1, d.USES_MAX)
    for node in map(_node, d.as_list(status.node.get("hasDuration"))):
        if "FixedOccurrencesDuration" in _types(node):
            text = _text(node)
            return d.whole(int(text), 1, d.USES_MAX) if text.isascii() and text.isdigit() and len(text) < 9 else None
    kinds = {
        name for n in d.as_list(whole.get("hasFrequency")) for name in ({*_types(_node(n)), *map(_name, _named(n))})
    }
    if kinds:
        return 1 if "SingularFrequency" in kinds else None
    return USES_UNSTATED


def _end_ms(durations: object, start_ms: int | None) -> int | None:
    for value in d.as_list(durations):
        node, text = _node(value), _text(value)
        if "UntilTimeDuration" in _types(node):
            return d.time_ms(text)
        if not _types(node) & {"FixedOccurrencesDuration", "EndlessDuration"} and start_ms is not None:
            days = _days(value)
            return start_ms + days * d.DAY_MS if days is not None and days <= d.DATA_LIFE_MAX_DAYS else None
    return None


def _days(value: object) -> int | None:
    """An ISO 8601 duration, or a number of seconds, in whole days; None where it has no end."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value // 86_400 if 0 <= value < 1 << 40 else None
    if not (parts := _DURATION.fullmatch(_text(value))) or parts[0] == "P":
        return None
    years, months, weeks, days = (int(part or 0) for part in parts.groups())
    return 365 * years + 30 * months + 7 * weeks + days


def _parts(whole: Node, names: Names, known: Known, reasons: Reasons) -> list[Part]:
    """One for each purpose and data set. The data set is named (ours), or follows from the data: a scope belongs to one."""
    purposes = [
        d.purpose(_named(p), names, known, "dpv:hasPurpose", reasons) for p in d.as_list(whole.get("hasPurpose"))
    ]
    if not purposes:
        reasons.against(Objection.PURPOSE_UNKNOWN, "dpv:hasPurpose")
    data = [list(_named(p)) for p in d.as_list(whole.get("hasPersonalData"))]
    every = frozenset[str]().union(*(data_set.scopes for data_set in known.data_sets.values()))
    scopes = d.scopes(data, every, names, "dpv:hasPersonalData", reasons)
    stated = [names.data_sets.get(name, name) for name in _texts(whole.get("dataSet"))]
    owners = {
        s: [n for n, ds in known.data_sets.items() if s in ds.scopes and (not stated or n in stated)] for s in scopes
    }
    if not all(name in known.data_sets for name in stated) or any(len(found) > 1 for found in owners.values()):
        reasons.against(Objection.DATA_SET_UNKNOWN, "dpv:hasProcess")
    if not scopes:
        reasons.against(Objection.SCOPE_MISSING, "dpv:hasPersonalData")
    if any(not found for found in owners.values()):
        reasons.against(Objection.SCOPE_UNKNOWN, "dpv:hasPersonalData")
    chosen = sorted({found[0] for found in owners.values() if found})
    within = {name: tuple(sorted(scopes & known.data_sets[name].scopes)) for name in chosen}
    return [Part(name, purpose, within[name]) for name in chosen for purpose in dict.fromkeys(purposes)]


def _notice(record: Node, reasons: Reasons) -> tuple[bytes, str]:
    """Hash and version of the notice shown; the notice itself may be known by its address only."""
    for node in d.as_list(record.get("hasNotice")):
        name = next(_named(node), "")
        if not name or name == "urn:sha256:none":
            continue
        digest = name.removeprefix("urn:sha256:")
        known = re.fullmatch(r"[0-9a-f]{64}", digest) is not None
        return bytes.fromhex(digest) if known else b"", (
            _text(_node(node).get("hasVersion")) or ("" if known else name)
        )[:200]
    reasons.against(Objection.NOTICE_MISSING, "dpv:hasNotice")
    return b"", ""


def _unchecked(record: Node, reasons: Reasons) -> None:
    """What a record of ours says more: somebody spoke for the person, or the level of identification mattered."""
    collected = next(iter(_objects(record.get("collected"))), {})
    if _text(collected.get("representation")):
        reasons.against(Objection.REPRESENTED, "accord:representation")
    for process in _objects(record.get("hasProcess")):
        if _text(process.get("assuranceRequired")) not in ("", "eidas1"):
            reasons.against(Objection.ASSURANCE, "accord:assuranceRequired")


def _channel(record: Node, status: _Status) -> Channel:
    collected = next(iter(_objects(record.get("collected"))), {})
    said = _text(collected.get("channel")) or _text(status.node.get("hasIndicationMethod"))
    return next((channel for channel in get_args(Channel) if channel == said), "online")


# JSON-LD, as far as a record needs it


class _Reader:
    """Nodes by local names, `{"@id"}` replaced by what the graph says of it; cut where it is too deep or too much to be a record."""

    def __init__(self, known: dict[str, Node]) -> None:
        self._known, self._left = known, _NODES

    def local(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth == 0 or self._left < 0:
            return None
        if isinstance(value, list):
            return [self.local(item, depth) for item in value if not isinstance(item, list)]
        if not isinstance(value, dict):
            return value
        if set(value) == {"@id"} and str(value["@id"]) in self._known:
            value = self._known[str(value["@id"])]
        return {_name(str(key)): self.local(item, depth - 1) for key, item in value.items()}


def _name(text: str) -> str:
    """`dpv:hasPurpose` and `https://w3id.org/dpv#hasPurpose` → `hasPurpose`; `@type` stays."""
    return re.split(r"[#/:]", text)[-1]


def _node(value: object) -> Node:
    return value if isinstance(value, dict) else {"@id": value} if isinstance(value, str) else {}


def _objects(value: object) -> list[Node]:
    return [item for item in d.as_list(value) if isinstance(item, dict)]


def _types(node: Node) -> set[str]:
    return {_name(t) for t in d.as_list(node.get("@type", node.get("type"))) if isinstance(t, str)}


def _text(value: object) -> str:
    """A literal, plain or as an object."""
    if isinstance(value, dict):
        value = value.get("@value", value.get("value", value.get("@id")))
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [text for text in map(_text, d.as_list(value)) if text]


def _named(value: object) -> Iterator[str]:
    """All the names of a thing: its identifier, its `@id`, its types and what it is narrower than, whole and local."""
    node = _node(value)
    for key in ("identifier", "@id", "@value", "@type", "isSubTypeOf", "broader", "title"):
        for text in _texts(node.get(key)):
            yield text
            if _name(text) != text:
                yield _name(text)
