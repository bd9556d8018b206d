"""`/v1/requests` and `/v1/events`: what the SDK made is published, ends once, and is told to its own operator only."""

from __future__ import annotations

import base64
import os
from typing import Any

from connectors.sandbox import FAMILIES, load_cases
from exchange.cli.story import read_case
from exchange.core import topics
from exchange.core.referentials import purposes_of
from exchange.introduction import ONLINE
from portal.api.context import CALLS
from portal.api.feeds import Feeds
from tests.portal.api.stand import Stand
from tests.world import JEANNE

OTHER = "552100554"
"""Another operator's SIREN."""


def sent(agreement: bytes, value: bytes) -> dict[str, str]:
    return {"authorisation": agreement.hex(), "message": base64.b64encode(value).decode()}


async def asked(stand: Stand, agreement: bytes = b"", **ask: Any) -> tuple[str, dict[str, Any]]:
    """A request that was accepted, and what was answered; under an agreement of its own unless one is given."""
    agreement = agreement or await stand.bus.give(JEANNE)
    request, value = stand.message(agreement, **ask)
    answer = await stand.call("POST", "/requests", json=sent(agreement, value))
    assert answer.status_code == 202, answer.text
    return request.hex(), answer.json()


async def ended(stand: Stand, request: str) -> dict[str, Any]:
    """Its outcome, waited for."""
    for _ in range(20):
        told = await stand.call("GET", f"/requests/{request}", headers={"prefer": "wait=30"})
        if told.json()["status"] != "accepted":
            return dict(told.json())
    raise AssertionError("it never ended")


async def test_a_request_is_accepted_and_its_outcome_is_told(stand: Stand) -> None:
    """202 with its address; then, at that address, the sealed outcome the bus wrote, byte for byte."""
    agreement = await stand.bus.give(JEANNE)
    request, value = stand.message(agreement)
    answer = await stand.call("POST", "/requests", json=sent(agreement, value))
    assert (answer.status_code, answer.json()["status"], answer.json()["outcome"]) == (202, "accepted", None)
    assert answer.headers["location"].endswith(f"/v1/requests/{request.hex()}")
    found = await ended(stand, request.hex())
    assert (found["status"], found["outcome"]["delivery"]) == ("released", "key")
    (told,) = stand.bus.broker.records(topics.outcomes(stand.bus.operator))
    assert base64.b64decode(found["message"]) == told.value
    (published,) = stand.bus.broker.records(topics.requests(stand.bus.operator))
    assert (published.value, published.key) == (value, agreement)


async def test_waiting_for_the_outcome(stand: Stand) -> None:
    """`Prefer: wait` gets the outcome in one call, and says that it was applied."""
    agreement = await stand.bus.give(JEANNE)
    _, value = stand.message(agreement)
    answer = await stand.call(
        "POST", "/requests", json=sent(agreement, value), headers={"prefer": "respond-async, wait=30"}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "released")
    assert answer.headers["preference-applied"] == "wait=30"


async def test_an_outcome_carries_its_reason(stand: Stand) -> None:
    """Code, cause and what to do, in the caller's language; the State's own code where there is one (asks 9 and 12)."""
    agreement = await stand.bus.give(JEANNE)
    await stand.bus.withdraw(agreement)
    request, _ = await asked(stand, agreement)
    await ended(stand, request)
    told = (await stand.call("GET", f"/requests/{request}", headers={"accept-language": "en"})).json()["outcome"]
    assert (told["code"], told["reason"], told["problem"]["origin"]) == ("refused", "withdrawn", "citizen")
    assert told["problem"]["cause"] == "agreement withdrawn" and told["problem"]["todo"]


async def test_cancelled_ends_once(stand: Stand) -> None:
    """A request taken back before its answer ends as cancelled; one that has ended keeps its outcome."""
    await stand.bus.pause("connector.cnaf")
    request, _ = await asked(stand)
    assert (await stand.call("POST", f"/requests/{request}/cancellation")).status_code == 202
    assert (await ended(stand, request))["status"] == "cancelled"
    await stand.bus.resume("connector.cnaf")
    await stand.bus.clock.sleep(30)
    again = await stand.call("POST", f"/requests/{request}/cancellation")
    assert (again.status_code, again.json()["outcome"]["reason"]) == (200, "cancelled")
    other, _ = await asked(stand)
    assert (await ended(stand, other))["status"] == "released"
    assert (await stand.call("POST", f"/requests/{other}/cancellation")).json()["status"] == "released"


async def test_the_same_key_is_one_call(stand: Stand) -> None:
    """`Idempotency-Key`: the same body gets the same answer and is published once; another body is refused (case 13)."""
    agreement = await stand.bus.give(JEANNE)
    request, value = stand.message(agreement)
    headers = {"idempotency-key": "DOS-42/qf"}
    first = await stand.call("POST", "/requests", json=sent(agreement, value), headers=headers)
    again = await stand.call("POST", "/requests", json=sent(agreement, value), headers=headers)
    assert (again.status_code, again.content, again.headers["location"]) == (
        202,
        first.content,
        first.headers["location"],
    )
    assert len(stand.bus.broker.records(topics.requests(stand.bus.operator))) == 1
    _, other = stand.message(agreement, request, ttl_ms=60_000)
    refused = await stand.call("POST", "/requests", json=sent(agreement, other), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "key_reused")
    token = await stand.another(stand.bus.operator)
    third = await stand.call("POST", "/requests", token, json=sent(agreement, other), headers=headers)
    assert third.status_code == 202  # a key is its client's own


async def test_a_call_that_failed_may_be_made_again(stand: Stand) -> None:
    """What was refused is not kept under its key."""
    agreement, headers = await stand.bus.give(JEANNE), {"idempotency-key": "k"}
    stand.bus.broker.fail_next = 1
    _, value = stand.message(agreement)
    failed = await stand.call("POST", "/requests", json=sent(agreement, value), headers=headers)
    assert (failed.status_code, failed.json()["retry"], failed.headers["retry-after"]) == (503, True, "5")
    assert (await stand.call("POST", "/requests", json=sent(agreement, value), headers=headers)).status_code == 202


async def test_another_operator_sees_nothing(stand: Stand) -> None:
    """Case 14: another's request is as unknown as one that never was, at every address; its message cannot be sent for it."""
    request, _ = await asked(stand)
    other = await stand.another(OTHER)
    for id in (request, os.urandom(16).hex()):
        for method, path in (("GET", ""), ("POST", "/cancellation"), ("POST", "/answer"), ("POST", "/reception")):
            told = await stand.call(method, f"/requests/{id}{path}", other)
            assert (told.status_code, told.json()["code"]) == (404, "request_unknown")
    agreement = await stand.bus.give(JEANNE)
    _, value = stand.message(agreement)
    told = await stand.call("POST", "/requests", other, json=sent(agreement, value))
    assert (told.status_code, told.json()["code"]) == (403, "delegation_absent")


async def test_events_resume_after_a_cursor(stand: Stand) -> None:
    """Ask 8: page by page, each outcome once and in order; the last cursor waits for what is yet to come."""
    agreement = await stand.bus.give(JEANNE)
    requests = []
    for _ in range(5):
        request, _ = await asked(stand, agreement)
        requests.append((await ended(stand, request))["id"])
    seen, cursor = list[str](), ""
    for _ in range(6):
        page = await stand.call("GET", "/events", params={"after": cursor, "limit": 2})
        assert page.headers["link"] == f'<{page.json()["links"]["next"]}>; rel="next"'
        seen += [event["request"] for event in page.json()["data"]]
        cursor = page.json()["meta"]["cursor"]
    assert seen == requests
    sixth, _ = await asked(stand, agreement)
    told = await stand.call("GET", "/events", params={"after": cursor}, headers={"prefer": "wait=30"})
    assert [event["request"] for event in told.json()["data"]] == [sixth]
    assert told.json()["data"][0]["type"] == "request.released"


async def test_from_now_on(stand: Stand) -> None:
    """`latest` stands for the cursor of what is yet to come."""
    request, _ = await asked(stand)
    await ended(stand, request)
    page = (await stand.call("GET", "/events", params={"after": "latest"})).json()
    assert page["data"] == []
    assert (await stand.call("GET", "/events", params={"after": page["meta"]["cursor"]})).json()["data"] == []


async def test_a_cursor_is_its_operators_own(stand: Stand) -> None:
    """Case 62: another's cursor, one with a bit changed, and one made by hand are refused alike."""
    cursor = (await stand.call("GET", "/events")).json()["meta"]["cursor"]
    other = await stand.another(OTHER)
    stand.bus.broker.create(topics.specs([OTHER], [], partitions=1, cluster=False))
    bad = [(cursor, other)] + [
        (c, None)
        for c in (cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), cursor + "A", cursor[:-4], "AQ", "0:5", "x" * 4000)
    ]
    for text, token in bad:
        told = await stand.call("GET", "/events", token, params={"after": text})
        assert (told.status_code, told.json()["code"]) in ((400, "bad_cursor"), (400, "bad_field")), text
        assert text not in told.text


async def test_after_a_restart_the_topics_say_it_all_again(stand: Stand) -> None:
    """A portal that starts again knows the requests and outcomes of the last seven days, and a cursor given before goes on."""
    request, _ = await asked(stand)
    await ended(stand, request)
    cursor = (await stand.call("GET", "/events")).json()["meta"]["cursor"]
    api = stand.app.state.http.api
    await api.feeds.close()
    api.__dict__["feeds"] = Feeds(stand.parts.reader, stand.parts.clock)
    assert (await stand.call("GET", f"/requests/{request}")).json()["status"] == "released"
    assert (await stand.call("GET", "/events", params={"after": cursor})).json()["data"] == []


async def test_how_much_is_left_is_told(stand: Stand) -> None:
    """Ask 11: every answer says what is left; beyond it, 429 with when to come back, and it does come back."""
    first = await stand.call("GET", "/me")
    assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == (
        str(CALLS.burst),
        str(CALLS.burst - 1),
    )
    api = stand.app.state.http.api
    api.calls._buckets["mairie"] = api.calls._buckets["mairie"]._replace(left=0.5)
    told = await stand.call("GET", "/me")
    assert (told.status_code, told.json()["code"], told.headers["ratelimit-remaining"]) == (429, "too_many", "0")
    assert int(told.headers["retry-after"]) == told.json()["retry_in_s"] >= 1
    await stand.bus.clock.sleep(int(told.headers["retry-after"]))
    assert (await stand.call("GET", "/me")).status_code == 200


async def test_a_cursor_that_is_too_old(stand: Stand) -> None:
    """Seven days on, a cursor is told apart from one that is none: what followed it is kept no longer. As a page and as a stream; the
    oldest kept is where one begins again, and a cursor of what is kept goes on."""
    agreement = await stand.bus.give(JEANNE)
    first = await ended(stand, (await asked(stand, agreement))[0])
    old = (await stand.call("GET", "/events")).json()["meta"]["cursor"]
    lost = await ended(stand, (await asked(stand, agreement))[0])
    stand.bus.clock.advance(topics.RETENTION_MS + 1000)
    stand.token = await stand.login()
    kept = await ended(stand, (await asked(stand, agreement))[0])
    for topic in (topics.outcomes(stand.bus.operator), topics.requests(stand.bus.operator)):
        stand.bus.broker.forget(topic, stand.bus.clock.now_ms() - topics.RETENTION_MS)

    async def told(after: str) -> list[str]:
        page = await stand.call("GET", "/events", params={"after": after})
        assert page.status_code == 200, page.text
        return [event["request"] for event in page.json()["data"]]

    assert await told(old) == [lost["id"], kept["id"]]  # a portal that was there still holds it
    api = stand.app.state.http.api
    await api.feeds.close()
    api.__dict__["feeds"] = Feeds(stand.parts.reader, stand.parts.clock)
    for headers in ({}, {"accept": "text/event-stream"}, {"accept": "text/event-stream", "last-event-id": old}):
        refused = await stand.call("GET", "/events", params={"after": old}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (410, "cursor_lapsed")
    assert await told("") == [kept["id"]] and first["id"] not in await told("")
    now = (await stand.call("GET", "/events")).json()
    assert await told(now["meta"]["cursor"]) == []
    begun = (await stand.call("GET", "/events", params={"after": "latest"})).json()["meta"]["cursor"]
    more = await ended(stand, (await asked(stand, agreement))[0])
    assert await told(begun) == [more["id"]]


async def test_an_answer_that_waits_for_its_person(stand: Stand) -> None:
    """Its status and an event say so, and waiting for the outcome goes on; then the outcome, or their no with what to do."""
    data_set = "cnous.etudiant-boursier.v2"
    ask = {"data_set": data_set, "purpose": purposes_of(data_set)[0], "scopes": ("cnous_statut_boursier",)}
    student = read_case(next(case for case in load_cases(FAMILIES) if case.name == "boursiere-echelon-4"))[0]
    agreement = await stand.bus.give(student, data_set=data_set, scopes=ask["scopes"])
    for accepted in (True, False):
        request, told = await asked(stand, agreement, ttl_ms=600_000, **ask)
        while (told := (await stand.call("GET", f"/requests/{request}")).json())["status"] == "accepted":
            await stand.bus.clock.sleep(0.5)
        assert (told["status"], told["outcome"]) == ("preview_pending", None)
        patient = await stand.call("GET", f"/requests/{request}", headers={"prefer": "wait=5"})
        assert patient.json()["status"] == "preview_pending"
        (shown,) = await stand.bus.ledger.previews([agreement])
        await stand.bus.ledger.previewed(shown.submission, accepted, ONLINE)
        ended = (await stand.call("GET", f"/requests/{request}", headers={"prefer": "wait=30"})).json()
        assert ended["status"] == ("released" if accepted else "refused")
        if not accepted:
            problem = ended["outcome"]["problem"]
            assert (problem["code"], problem["origin"], problem["retry"]) == ("preview_rejected", "citizen", False)
        types = [
            one["type"] for one in (await stand.call("GET", "/events")).json()["data"] if one["request"] == request
        ]
        assert types == ["request.preview_pending", f"request.{ended['status']}"]


async def test_what_waits_for_its_person_may_be_taken_back(stand: Stand) -> None:
    """The operator renounces: cancelled, and the person has nothing to say any more."""
    data_set = "cnous.etudiant-boursier.v2"
    ask = {"data_set": data_set, "purpose": purposes_of(data_set)[0], "scopes": ("cnous_statut_boursier",)}
    student = read_case(next(case for case in load_cases(FAMILIES) if case.name == "boursiere-echelon-4"))[0]
    agreement = await stand.bus.give(student, data_set=data_set, scopes=ask["scopes"])
    request, _ = await asked(stand, agreement, ttl_ms=600_000, **ask)
    while not await stand.bus.ledger.previews([agreement]):
        await stand.bus.clock.sleep(0.5)
    await stand.bus.clock.sleep(1)
    told = await stand.call("POST", f"/requests/{request}/cancellation", headers={"prefer": "wait=30"})
    assert told.json()["status"] == "cancelled"
    assert await stand.bus.ledger.previews([agreement]) == []
