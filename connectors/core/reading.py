"""What an HTTP answer of a State API means, by its data set's description."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from connectors.contract import Failure, Found, Identity, Reading
from connectors.core.description import Description
from connectors.core.documented import Undocumented, record
from connectors.core.person import is_about
from connectors.core.state_errors import FAMILIES, refused

JSON_TYPES = ("application/json", "application/vnd.api+json")


def interpret(
    description: Description, status: int, headers: Mapping[str, str], body: bytes, identity: Identity
) -> Reading:
    """One reading of one answer. Header names in lower case (or a case-insensitive mapping); never raises."""
    if status != 200:
        return refused(FAMILIES[description.family], status, headers, body)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in JSON_TYPES and media_type not in description.media_types:
        return Failure("", "content_type")
    try:
        found = record(description, msgspec.json.decode(body))
    except Undocumented:
        return Failure("", "schema")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failure("", "garbage")
    return Found(found) if is_about(description.about, found, identity) else Failure("", "wrong_person")
