"""A question put by the SDK, and what came of it, as JSON values that a session may keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exchange.core.errors import CATALOGUE, Code
from exchange.outcomes import AwaitsPerson, BusUnavailable, ExchangeError, Expired, ProviderUnavailable
from exchange.ports import Unavailable
from exchange.sdk import Bus

WAIT_S, TTL_S = 25.0, 60.0
LATER = (ProviderUnavailable, Expired, BusUnavailable, Unavailable, AwaitsPerson)
"""What another try may mend: the agreement stands meanwhile."""


async def ask(
    bus: Bus, authorisation: bytes, data_set: str, purpose: str, scopes: Sequence[str], parameters: Mapping[str, str]
) -> dict[str, Any]:
    """`status`: `found` (with `data` and the `leaf` that proves the release), `not_found`, `refused`, `later` or `stopped`; `code` says why,
    and `texts`, where there is no answer: the cause and what to do, each in French and English."""
    asked = {"consent": authorisation, "purpose": purpose, "scopes": scopes, "parameters": parameters, "ttl_s": TTL_S}
    try:
        answer = await (await bus.request(data_set, **asked)).answer(WAIT_S)  # type: ignore[arg-type]  # as `request` has them
    except (ExchangeError, Unavailable) as error:
        code = error.code if isinstance(error, ExchangeError) else Code.UNAVAILABLE
        entry, status = CATALOGUE[code], "later" if isinstance(error, LATER) else "stopped"
        texts = {"cause": [entry.cause_fr, entry.cause_en], "todo": [entry.todo_fr, entry.todo_en]}
        return {"status": status, "code": code.value, "texts": texts}
    told = {"status": answer.status, "code": answer.code, "title": answer.title, "request": answer.request.hex()}
    return told | {"texts": {}, "data": answer.data, "leaf": answer.outcome.leaf_index}
