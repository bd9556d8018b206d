"""A question put by the SDK, and what came of it, as JSON values that a session may keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exchange.core.errors import CATALOGUE, Code
from exchange.outcomes import AwaitsPerson, BusUnavailable, ExchangeError, Expired, ProviderUnavailable
from exchange.ports import Unavailable
from exchange.sdk import Bus
from portal.web.pages import Asked

WAIT_S, TTL_S = 25.0, 60.0
LATER = (ProviderUnavailable, Expired, BusUnavailable, AwaitsPerson)
"""What another try may mend: the agreement stands meanwhile."""


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


def trouble(told: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """`texts`: why there is no answer and what to do, in the reader's language; empty where there is one."""
    if told["status"] not in ("later", "stopped"):
        return {"texts": {}}
    entry = CATALOGUE[Code(told["code"])]
    return {"texts": {"cause": entry.cause(asked.language), "todo": entry.todo(asked.language)}}
