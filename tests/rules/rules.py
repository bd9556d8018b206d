"""Rules for the tests, and who signs them."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange import rules

QF = "cnaf.quotient-familial.v1"
VALUE = "quotient_familial.valeur"
UNDER_650 = {"field": VALUE, "is": "<=", "value": 650}
TABLE = {"field": VALUE, "brackets": [{"to": 400, "label": "A"}, {"to": 650, "label": "B"}], "above": "C"}


def document(ask: Any, data_set: str = QF, **changes: Any) -> str:
    """A rule as somebody would write it."""
    body = {"name": "essai", "data_set": data_set, "doc": {"fr": "Une question ?", "en": "A question?"}, "ask": ask}
    return json.dumps(body | changes)


def signed(ask: Any, keys: Any, data_set: str = QF, **changes: Any) -> bytes:
    """The same, signed by the registrar of these keys (`consent.keys.KeyRing`)."""
    registrar: Ed25519PrivateKey = keys.registrar
    return rules.sign(document(ask, data_set, **changes), keys.origin, registrar)
