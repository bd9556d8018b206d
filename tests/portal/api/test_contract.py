"""The OpenAPI document is what the API does: Schemathesis asks it everything the document allows, and what it does not."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema

from exchange.adapters.http import evidence_body, terms_body
from exchange.core.identity import canonical
from exchange.core.referentials import is_siret
from exchange.introduction import ONLINE
from exchange.introduction import terms as usual
from exchange.recording import sealed_whom
from tests.portal.api.serving import Served
from tests.world import JEANNE, RECIPIENT

EXAMPLES = 12


def _siret(digits: str) -> str:
    """With a last digit that makes it one."""
    return next((digits + last for last in "0123456789" if is_siret(digits + last)), RECIPIENT)


schemathesis.openapi.format(
    "siret",
    strategies.one_of(
        strategies.just(RECIPIENT),
        strategies.from_regex(r"[0-9]{13}", fullmatch=True, alphabet="0123456789").map(_siret),
    ),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("portal")).up() as up:
        yield up


@pytest.fixture(scope="module")
def api(served: Served) -> BaseSchema:
    schema = schemathesis.openapi.from_url(f"{served.url}/v1/openapi.json")
    # A key that served for another body, and a cursor nobody gave, are well formed all the same.
    schema.config.checks.positive_data_acceptance.expected_statuses = [
        "2xx",
        "3xx",
        "401",
        "403",
        "404",
        "409",
        "422",
        "429",
    ]
    return schema


async def recorded(served: Served, id: bytes) -> dict[str, Any]:
    """Terms the habilitation allows, and Jeanne sealed to the ledger for this act."""
    bus = served.stand.bus
    terms = usual(RECIPIENT, bus.clock.now_ms())
    sealed = sealed_whom(await bus.ledger.intake(), id, terms, canonical(JEANNE), ONLINE, bus.operator)
    return {"sealed": base64.b64encode(sealed).decode(), "evidence": evidence_body(ONLINE)} | terms_body(terms)


def _well_formed(key: object) -> bool:
    return isinstance(key, str) and re.fullmatch(r"[!-~]{1,255}", key) is not None


def put_right(served: Served, case: Case) -> None:
    """What no document can say is put right: a message that holds the agreement it names, a cursor that was given, a key used once."""
    if case.meta is None:
        return
    for name in list(case.headers or {}):
        if name.lower() == "idempotency-key" and _well_formed(case.headers[name]):
            case.headers[name] = os.urandom(8).hex()
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if case.method == "POST" and isinstance(case.body, dict):
        _body(served, case, case.body)
    if case.operation.label == "GET /events" and case.query:
        case.query = {name: value for name, value in case.query.items() if name != "after"}
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "last-event-id"}


def _body(served: Served, case: Case, body: dict[str, Any]) -> None:
    label, bus = case.operation.label, served.stand.bus
    if label == "POST /requests":
        agreement: Any = served.run(bus.give(JEANNE))
        _, value = served.stand.message(agreement)
        body |= {"authorisation": agreement.hex(), "message": base64.b64encode(value).decode()}
    if label == "POST /consents/{id}/grants":
        act = os.urandom(16)
        case.path_parameters |= {"id": act.hex()}
        body |= served.run(recorded(served, act))  # type: ignore[arg-type]  # a body
    if label in ("POST /consents", "POST /consents/{id}/refusals") and "rule" not in body:
        body |= terms_body(usual(RECIPIENT, bus.clock.now_ms()))  # the others are told what is wrong with theirs
        body.pop("evidence", None)
    if label == "POST /webhooks":
        body |= {"url": "http://127.0.0.1:9/", "alert": ""}


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
def test_each_operation_keeps_its_word(case: Case, served: Served) -> None:
    """Statuses, media types and bodies are those told; what the document forbids is refused; nothing is a server error."""
    put_right(served, case)
    case.call_and_validate(headers={"authorization": f"Bearer {served.stand.token}"}, timeout=20)


def test_what_one_operation_gives_the_next_takes(api: BaseSchema, served: Served) -> None:
    """Along the links of the document: ask, follow, cancel; want an agreement, see it, withdraw it."""

    class Along(api.as_state_machine()):  # type: ignore[misc]  # a class made at run time
        def before_call(self, case: Case) -> None:
            put_right(served, case)

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": {"authorization": f"Bearer {served.stand.token}"}, "timeout": 20}

    run_state_machine_as_test(
        Along,
        settings=settings(
            max_examples=6, stateful_step_count=6, suppress_health_check=list(HealthCheck), deadline=None
        ),
    )
