"""JSON as a door reads it: what two readers could understand differently is refused (RFC 8259 §4, §8; I-JSON, RFC 7493)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

INTEGER_MAX = (1 << 53) - 1
"""Beyond it not every reader holds the same number (RFC 7493 §2.2)."""


class BadJson(ValueError):
    """Not strict JSON. Says nothing of what it is."""


def read(data: bytes) -> Any:
    """The value of these bytes. BadJson for other encodings than UTF-8, a key that comes twice, numbers that are not finite or whole
    numbers beyond 2^53, lone surrogates and more nesting than a reader holds."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_each_once,
            parse_constant=_refuse,
            parse_int=_whole,
            parse_float=_finite,
        )
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no encoding
    except (ValueError, RecursionError):
        raise BadJson from None
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson
    return found


def _refuse(_: str) -> NoReturn:
    raise BadJson


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > INTEGER_MAX:
        raise BadJson
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadJson
    return value
