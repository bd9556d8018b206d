"""An agreement recorded and a question put, by the SDK alone; what came of it, as JSON values that a session may keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from consent.core.facts import Evidence, Terms
from exchange.outcomes import BusUnavailable, ExchangeError, Expired, ProviderUnavailable
from exchange.ports import Unavailable
from exchange.sdk import Bus

WAIT_S, TTL_S = 25.0, 60.0
LATER = (ProviderUnavailable, Expired, BusUnavailable)
"""What another try may mend: the agreement stands meanwhile."""


async def agree(bus: Bus, authorisation: bytes, terms: Terms, identity: bytes, evidence: Evidence) -> None:
    """Record what the person agreed to; the identity, sealed to our key, comes into our wallet. `Refused`, `Unavailable`."""
    grant = await bus.ledger.grant(authorisation, terms, identity, evidence, bus.wallet.operator)
    bus.wallet.keep(authorisation, grant.capsule)


async def ask(
    bus: Bus, authorisation: bytes, data_set: str, purpose: str, scopes: Sequence[str], parameters: Mapping[str, str]
) -> dict[str, Any]:
    """`status`: `found` (with `data` and the `leaf` that proves the release), `not_found`, `refused`, `later` or `stopped`; `code` says why."""
    asked = {"consent": authorisation, "purpose": purpose, "scopes": scopes, "parameters": parameters, "ttl_s": TTL_S}
    try:
        answer = await (await bus.request(data_set, **asked)).answer(WAIT_S)  # type: ignore[arg-type]  # as `request` has them
    except LATER as error:
        return {"status": "later", "code": error.code.value}
    except Unavailable:
        return {"status": "later", "code": "unavailable"}
    except ExchangeError as error:
        return {"status": "stopped", "code": error.code.value}
    told = {"status": answer.status, "code": answer.code, "title": answer.title, "request": answer.request.hex()}
    return told | {"data": answer.data, "leaf": answer.outcome.leaf_index}
