"""The consent artefact of India's Account Aggregators (ReBIT AA specification, versions 1.x and 2.x; DEPA), and what is in its style.

    consentStart, consentExpiry, consentMode, fetchType, consentTypes, fiTypes, DataConsumer {id}, Customer, Accounts, Purpose {code,
    refUri, text}, FIDataRange {from, to}, DataLife {unit, value}, Frequency {unit, value}, DataFilter

at the top, under `ConsentDetail` (or `Detail`), or in the payload of the JWS `signedConsent`, which is read and not checked: its key
is not ours to know. `fiTypes` are data sets, `consentTypes` scopes. We count uses over the whole validity: Frequency times validity.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from consent.core.importing import drafts as d
from consent.core.importing.drafts import Bounds, Draft, Known, Names, Objection, Part, Reasons

FORMAT = "account-aggregator"
_HOUR_MS = 3_600_000
_PERIOD_MS = {"HOUR": _HOUR_MS, "DAY": d.DAY_MS, "MONTH": 30 * d.DAY_MS, "YEAR": 365 * d.DAY_MS}
_LIFE_DAYS = {"DAY": 1, "MONTH": 30, "YEAR": 365}
_MODES = ("VIEW", "STORE")
_STATED = ("ACTIVE",)
_WRAPPERS = ("consentdetail", "detail")
_GIVEN_SIGNS = ("consentid", "status", "consentstatus", "signedconsent", "signature", "proof")


def claims(artefact: dict[str, Any]) -> bool:
    """Whether it looks like one of these."""
    body = _fold(artefact)
    return "consentstart" in body or "signedconsent" in body or any(w in body for w in _WRAPPERS)


def read(artefact: dict[str, Any], names: Names, known: Known, reasons: Reasons) -> list[Draft]:
    outer = _fold(artefact)
    detail = _detail(outer, reasons)
    _stated(outer, detail, reasons)
    _unenforceable(detail, reasons)
    start_ms, end_ms = d.time_ms(detail.get("consentstart")), d.time_ms(detail.get("consentexpiry"))
    d.validity(start_ms, end_ms, known, ("consentStart", "consentExpiry"), reasons)
    consumer = _fold(detail.get("dataconsumer")).get("id")
    d.recipient([consumer] if isinstance(consumer, str) else [], names, known, "DataConsumer.id", reasons)
    about = _fold(detail.get("purpose"))
    said = [about[key] for key in ("code", "refuri", "text") if isinstance(about.get(key), str)]
    purpose = d.purpose(said, names, known, "Purpose", reasons)
    duration_ms = end_ms - start_ms if start_ms is not None and end_ms is not None else 0
    bounds = Bounds(start_ms or 0, end_ms or 0, _uses(outer, detail, duration_ms, reasons), _life(detail, reasons))
    _range(detail, bounds, reasons)
    signed = any(sign in outer for sign in ("signedconsent", "signature", "proof"))
    return [
        Draft(d.terms(part, bounds, known), "online", signed) for part in _parts(detail, purpose, names, known, reasons)
    ]


def _detail(outer: dict[str, Any], reasons: Reasons) -> dict[str, Any]:
    """What was consented to; what was signed comes first."""
    if (signed := outer.get("signedconsent")) is not None:
        payload = _payload(signed)
        if payload is None:
            reasons.against(Objection.SIGNATURE_UNREADABLE, "signedConsent")
        inner = _fold(payload)
        return _fold(next((inner[w] for w in _WRAPPERS if w in inner), payload))
    return _fold(next((outer[w] for w in _WRAPPERS if w in outer), outer))


def _payload(signed: object) -> dict[str, Any] | None:
    """The payload of a compact JWS (RFC 7515 §3.1), its signature unchecked."""
    parts = signed.split(".") if isinstance(signed, str) else []
    if len(parts) != 3:
        return None
    try:
        body = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _stated(outer: dict[str, Any], detail: dict[str, Any], reasons: Reasons) -> None:
    version = outer.get("ver", "2")
    if not (isinstance(version, str) and version.partition(".")[0] in ("1", "2")):
        reasons.against(Objection.PROFILE_UNKNOWN, "ver")
    status = outer.get("status", outer.get("consentstatus", detail.get("status", _STATED[0])))
    status = _fold(status).get("status") if isinstance(status, dict) else status
    requested = any(w in outer for w in _WRAPPERS) and not any(sign in outer for sign in _GIVEN_SIGNS)
    if requested or status not in _STATED:  # a detail sent before the person answered has neither id nor status
        reasons.against(Objection.NOT_GIVEN, "status")


def _unenforceable(detail: dict[str, Any], reasons: Reasons) -> None:
    """What narrows the consent by means we do not have."""
    if detail.get("consentmode", _MODES[0]) not in _MODES:
        reasons.against(Objection.MODE, "consentMode")
    for key, code, field in (
        ("datafilter", Objection.DATA_FILTER, "DataFilter"),
        ("accounts", Objection.ACCOUNTS, "Accounts"),
    ):
        if detail.get(key):
            reasons.against(code, field)


def _uses(outer: dict[str, Any], detail: dict[str, Any], duration_ms: int, reasons: Reasons) -> int:
    """How many uses are left over the whole validity."""
    used = d.whole(_fold(outer.get("consentuse")).get("count", 0), 0, d.USES_MAX)
    allowed = 1 if detail.get("fetchtype") == "ONETIME" else _periodic(detail, duration_ms)
    if allowed is None or used is None:
        reasons.against(Objection.FREQUENCY, "Frequency" if allowed is None else "ConsentUse.count")
        return 1
    if used >= allowed:
        reasons.against(Objection.USED_UP, "ConsentUse.count")
    return allowed - used


def _periodic(detail: dict[str, Any], duration_ms: int) -> int | None:
    frequency = _fold(detail.get("frequency"))
    period_ms = _lookup(_PERIOD_MS, frequency.get("unit"))
    times = d.whole(frequency.get("value"), 1, d.USES_MAX)
    if detail.get("fetchtype", "PERIODIC") != "PERIODIC" or period_ms is None or times is None:
        return None
    found = times * max(1, duration_ms // period_ms)
    return found if found <= d.USES_MAX else None


def _life(detail: dict[str, Any], reasons: Reasons) -> int:
    life = _fold(detail.get("datalife"))
    unit_days, value = _lookup(_LIFE_DAYS, life.get("unit")), d.whole(life.get("value"), 0, d.DATA_LIFE_MAX_DAYS)
    if unit_days is None or value is None or unit_days * value > d.DATA_LIFE_MAX_DAYS:
        reasons.against(Objection.DATA_LIFE, "DataLife")
        return 0
    return unit_days * value


def _range(detail: dict[str, Any], bounds: Bounds, reasons: Reasons) -> None:
    """What is asked for is of the day it is asked: a range that leaves days of the validity out cannot be kept to."""
    if (stated := detail.get("fidatarange")) is None:
        return
    folded = _fold(stated)
    from_ms, to_ms = d.time_ms(folded.get("from")), d.time_ms(folded.get("to"))
    if from_ms is None or to_ms is None or from_ms > bounds.not_before_ms or to_ms < bounds.not_after_ms:
        reasons.against(Objection.DATA_RANGE, "FIDataRange")


def _parts(detail: dict[str, Any], purpose: str, names: Names, known: Known, reasons: Reasons) -> list[Part]:
    types = detail.get("fitypes")
    mapped = dict.fromkeys(names.data_sets.get(t, t) if isinstance(t, str) else "" for t in d.as_list(types))
    if not mapped or not all(name in known.data_sets for name in mapped):
        reasons.against(Objection.DATA_SET_UNKNOWN, "fiTypes")
    chosen = {name: known.data_sets[name].scopes for name in mapped if name in known.data_sets}
    asked = [[t] if isinstance(t, str) else [] for t in d.as_list(detail.get("consenttypes"))]
    if not chosen:
        return []
    scopes = d.scopes(asked, frozenset[str]().union(*chosen.values()), names, "consentTypes", reasons)
    if not all(scopes & own for own in chosen.values()):
        reasons.against(Objection.SCOPE_MISSING, "consentTypes")
    return [Part(name, purpose, tuple(sorted(scopes & own))) for name, own in chosen.items()]


def _lookup(table: dict[str, int], unit: object) -> int | None:
    return table.get(unit) if isinstance(unit, str) else None


def _fold(value: object) -> dict[str, Any]:
    """An object by its names in lower case: implementations write `Purpose` and `purpose`."""
    return {str(key).lower(): item for key, item in value.items()} if isinstance(value, dict) else {}
