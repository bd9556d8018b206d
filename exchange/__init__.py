"""Accord, the bus. Read in this order: `core/identity`, `core/sealing`, `core/decision`, `core/gate`; `agents/gate`,
`connectors.agent`, `agents/release`, `agents/deadline`; `consent.core.release`, `consent.releases`; `sdk`, `local`.

For applications: `open_bus`, `Bus`, `Answer` and the errors; `exchange.testing` for their tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exchange.local import open_bus
    from exchange.outcomes import (
        Answer,
        Conflict,
        ConsentRequired,
        ConsentWithdrawn,
        ExchangeError,
        Expired,
        InvalidSubject,
        NotEntitled,
        ProviderUnavailable,
        UnknownDataSet,
    )
    from exchange.sdk import Bus, Request

_WHERE = {"open_bus": "exchange.local", "Bus": "exchange.sdk", "Request": "exchange.sdk"}
__all__ = [
    "Answer",
    "Bus",
    "Conflict",
    "ConsentRequired",
    "ConsentWithdrawn",
    "ExchangeError",
    "Expired",
    "InvalidSubject",
    "NotEntitled",
    "ProviderUnavailable",
    "Request",
    "UnknownDataSet",
    "open_bus",
]


def __getattr__(name: str) -> object:
    """Imported when asked for: each process of the bus pays for what it uses."""
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(_WHERE.get(name, "exchange.outcomes")), name)
