"""Consents given elsewhere, as terms of ours: an artefact (parsed JSON) becomes one draft for each of its data sets and purposes, or
everything that keeps it from being honoured.

Whatever narrows a consent and cannot be enforced here is an objection, never left out: what is imported is never wider than what
was given. The person is not read from the artefact; nothing of it is repeated in a reason.
"""

from __future__ import annotations

import json
from typing import Any

from consent.core.importing import aggregator, dpv
from consent.core.importing.drafts import Draft, Imported, Known, Names, Objection, Reason, Reasons
from consent.core.importing.texts import TEXTS
from exchange.core.encoding import digest

__all__ = ["TEXTS", "Draft", "Imported", "Known", "Names", "Objection", "Reason", "authorisation", "parse", "read"]

MAX_BYTES = 1 << 20
_ID_BYTES = 16


def parse(data: bytes) -> object:
    """The JSON value of an artefact; None, which no artefact is, for bytes that are not one clear JSON text of at most 1 MiB."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_once) if len(data) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def authorisation(artefact_hash: bytes, place: int) -> bytes:
    """The id of an artefact's draft: the same whenever the same bytes are imported."""
    return digest(b"accord.import.v1", artefact_hash, place.to_bytes(4, "big"))[:_ID_BYTES]


def read(artefact: object, names: Names, known: Known) -> Imported:
    """The drafts of a DPV consent record or receipt (ISO/IEC TS 27560) or of an Account Aggregator artefact (ReBIT 1.x and 2.x), or
    all the reasons against it. Any JSON value is answered, none raises."""
    reasons = Reasons()
    if isinstance(artefact, dict) and (record := dpv.find(artefact)) is not None:
        found, drafts = dpv.FORMAT, dpv.read(record, names, known, reasons)
    elif isinstance(artefact, dict) and aggregator.claims(artefact):
        found, drafts = aggregator.FORMAT, aggregator.read(artefact, names, known, reasons)
    else:
        found, drafts = "", []
        reasons.against(Objection.NOT_AN_ARTEFACT)
    return Imported(found, () if reasons.found else tuple(drafts), tuple(reasons.found))
