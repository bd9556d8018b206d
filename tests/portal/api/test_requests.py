"""`/v1/requests` and `/v1/events`: what the SDK made is published, ends once, and is told to its own operator only."""

from __future__ import annotations

import base64
from typing import Any

from exchange.core import topics
from tests.portal.api.stand import Stand
from tests.world import JEANNE


def sent(agreement: bytes, value: bytes) -> dict[str, str]:
    return {"authorisation": agreement.hex(), "message": base64.b64encode(value).decode()}


async def asked(stand: Stand, agreement: bytes = b"", **ask: Any) -> tuple[str, dict[str, Any]]:
    """A request that was accepted, and what was answered; under an agreement of its own unless one is given."""
    agreement = agreement or await stand.bus.give(JEANNE)
    request, value = stand.message(agreement, **ask)
    answer = await stand.call("POST", "/requests", json=sent(agreement, value))
    assert answer.status_code == 202, answer.text
    return request.hex(), answer.json()


async def test_a_request_is_accepted_and_its_outcome_is_told(stand: Stand) -> None:
    """202 with its address; then, at that address, the sealed outcome the bus wrote."""
    agreement = await stand.bus.give(JEANNE)
    request, value = stand.message(agreement)
    answer = await stand.call("POST", "/requests", json=sent(agreement, value))
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert answer.headers["location"].endswith(f"/v1/requests/{request.hex()}")
    found = await stand.call("GET", f"/requests/{request.hex()}", headers={"prefer": "wait=30"})
    assert found.status_code == 200 and found.json()["status"] in ("released", "refused")
    (told,) = stand.bus.broker.records(topics.outcomes(stand.bus.operator))
    assert base64.b64decode(found.json()["message"]) == told.value
