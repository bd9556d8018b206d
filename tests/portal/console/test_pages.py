"""The console over a bus in memory."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from connectors.contract import Found
from exchange.core import topics
from exchange.core.referentials import purposes_of
from exchange.journal.store import Filter, JournalStore
from exchange.outcomes import PreviewRejected
from exchange.testing import MemoryBus
from tests.portal.console.conftest import SANDBOX, Told
from tests.portal.stand import portal, token_of
from tests.world import BURSARY, JEANNE, ScriptedApi

PAGES = ("", "/requests", "/topics", "/dead-letters")


@pytest.fixture
def sandbox(told: Told) -> Told:
    """As part of an `accord dev`."""
    told.stand.parts.places.announce(told.stand.parts.places.address, **SANDBOX)
    return told


@pytest.mark.parametrize("page", [*PAGES, "/topics/verdicts.v1", f"/requests/{'0' * 32}"])
async def test_nobody_without_a_login(told: Told, page: str) -> None:
    """Outside a sandbox every page of the console, and its twin, asks for an operator."""
    browser = told.stand.browser
    assert (await browser.get(f"/console{page}")).headers["location"].startswith("/connexion/operator")
    assert (await browser.get(f"/console{page}.json")).status_code == 401


@pytest.mark.parametrize(
    ("client", "url"), [("192.0.2.1", "http://127.0.0.1:8600"), ("127.0.0.1", "http://portal.test")]
)
async def test_open_on_this_machine_only(tmp_path: Path, client: str, url: str) -> None:
    """A sandbox's console is not open to another machine, nor where the portal has a public name."""
    async with portal(tmp_path, changes={"url": url}) as stand:
        stand.parts.places.announce(stand.parts.places.address, **SANDBOX)
        transport = httpx.ASGITransport(stand.app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url=url) as browser:
            assert (await browser.get("/console.json")).status_code == 401


@pytest.mark.parametrize("page", PAGES)
async def test_pages(sandbox: Told, page: str) -> None:
    """Every page is drawn in both languages, and says that a sandbox's console is open."""
    browser = sandbox.stand.browser
    french, english = await browser.get(f"/console{page}?lang=fr"), await browser.get(f"/console{page}?lang=en")
    assert (french.status_code, english.status_code) == (200, 200)
    assert "cette console s" in french.text and "opens without a login" in english.text
    assert (await browser.get(f"/console{page}.json")).json()["sandbox"] is True


async def test_timeline(sandbox: Told) -> None:
    """A request's page has each step of its trace with its duration, its journal, its leaf and its outcome."""
    page = f"/console/requests/{sandbox.released.key.request.hex()}"
    told = (await sandbox.stand.browser.get(f"{page}.json")).json()
    request = told["request"]
    assert (request["code"], request["data_set"]) == ("released", "cnaf.quotient-familial.v1")
    assert [span["name"] for span in request["spans"]][:1] == ["request"]
    assert {"request", "gate", "connector", "release"} <= {span["name"] for span in request["spans"]}
    assert all(0 <= span["left"] + span["width"] <= 1000 for span in request["spans"])
    assert [step["step"] for step in request["steps"]] == ["requested", "ended"]
    assert [leaf["kind"] for leaf in request["leaves"]] == ["released"]
    assert sandbox.released.key.authorisation.hex() in told["python"] and request["id"] in told["curl"]
    html = (await sandbox.stand.browser.get(page)).text
    assert html.count('class="span"') == len(request["spans"]) and "curl --header" in html


async def test_a_preview_is_a_step(tmp_path: Path) -> None:
    """While it waits for its person a request's page says so, until when; afterwards it shows what they said, in words, with its leaf."""
    data_set = "cnous.etudiant-boursier.v2"
    async with MemoryBus(ScriptedApi(Found(BURSARY)), provider="cnous") as bus, portal(tmp_path, bus) as stand:
        stand.parts.places.announce(stand.parts.places.address, **SANDBOX)
        agreement = await bus.give(JEANNE, data_set=data_set)
        request = await bus.sdk.request(data_set, consent=agreement, purpose=purposes_of(data_set)[0])
        assert await request.awaits_person()
        with closing(JournalStore(stand.parts.places.journal)) as kept:
            await kept.add(list(bus.journal.show(Filter())))
        page = f"/console/requests/{request.key.request.hex()}"
        waiting = (await stand.browser.get(f"{page}.json")).json()["request"]
        assert waiting["awaits_person_until_ms"] > bus.clock.now_ms() and waiting["leaves"] == []
        assert "attend que la personne la laisse transmettre" in (await stand.browser.get(page)).text
        await bus.preview(request, accepted=False)
        with pytest.raises(PreviewRejected):
            await request.answer()
        said = (await stand.browser.get(f"{page}.json")).json()["request"]
        assert said["awaits_person_until_ms"] is None
        assert [leaf["kind"] for leaf in said["leaves"]] == ["preview_rejected", "refused"]
        assert "aperçu : la personne ne veut pas" in (await stand.browser.get(page)).text


async def test_a_refusal_says_what_to_do(sandbox: Told) -> None:
    """A refused request's page has the reason's text and what to do about it."""
    page = f"/console/requests/{sandbox.withdrawn.key.request.hex()}"
    told = (await sandbox.stand.browser.get(f"{page}.json")).json()["request"]
    assert (told["code"], told["reason"], told["state"]) == ("refused", "withdrawn", "withdrawn")
    assert told["steps"][-1]["texts"]["todo_fr"] in (await sandbox.stand.browser.get(page)).text.replace("&#39;", "'")


async def test_search(sandbox: Told) -> None:
    """A known id leads to its page; an unknown one says so, and so does what is no id."""
    browser, known = sandbox.stand.browser, sandbox.released.key.request.hex()
    assert (await browser.get(f"/console/requests?id=%20{known.upper()}")).headers[
        "location"
    ] == f"/console/requests/{known}"
    for unknown in ("ff" * 16, "no id", "<script>"):
        page = await browser.get("/console/requests", params={"id": unknown})
        assert page.status_code == 200 and "Aucune demande de ce" in page.text and "<script>" not in page.text
    assert (await browser.get(f"/console/requests/{'ff' * 16}")).status_code == 404


async def test_messages_are_masked(sandbox: Told) -> None:
    """A decoded message shows ids and codes; parameters' values and everything sealed are not there, only their sizes and hashes."""
    browser, bus = sandbox.stand.browser, sandbox.stand.bus
    asked = sandbox.released.key
    record = next(r for r in bus.broker.records(topics.requests(bus.operator)) if asked.request in (r.value or b""))
    page = f"/console/topics/{record.topic}/{record.partition}/{record.offset}"
    told = (await browser.get(f"{page}.json")).json()["message"]
    fields = {field["name"]: (field["kind"], field["shown"]) for field in told["fields"]}
    assert fields["request_id"] == ("id", asked.request.hex())
    assert fields["ask.data_set"] == ("code", "cnaf.quotient-familial.v1")
    assert fields["ask.parameters[0].name"][1] == "annee" and fields["ask.parameters[0].value"] == ("masked", "4")
    assert fields["identity"][0] == "sealed" and re.fullmatch(r"\d{3}:[0-9a-f]{16}", fields["identity"][1])
    every = [
        await browser.get(f"/console/topics/{name}.json")
        for name in {r.topic for log in bus.broker.logs.values() for r in log}
    ]
    whole = " ".join(response.text for response in every) + (await browser.get(page)).text
    assert all(response.status_code == 200 for response in every)
    assert not any(word in whole for word in ("MARTIN", "Jeanne", "1980-01-02"))


@pytest.mark.parametrize("place", ["verdicts.v1/0/99", "verdicts.v1/9/0", "nowhere.v1/0/0"])
async def test_no_such_message(sandbox: Told, place: str) -> None:
    """A place that is none is the page that is none."""
    assert (await sandbox.stand.browser.get(f"/console/topics/{place}")).status_code == 404


async def test_dead_letter_is_sent_again_once(sandbox: Told) -> None:
    """Retrying writes the very bytes, key and headers to the partition they came from, once, and notes who and when in store and journal."""
    browser, bus = sandbox.stand.browser, sandbox.stand.bus
    (letter,) = (await browser.get("/console/dead-letters.json")).json()["letters"]
    assert (letter["reason"], letter["retried_ms"]) == ("bad_avro", None)
    place = {name: letter[name] for name in ("topic", "partition", "offset")}
    log = bus.broker.logs[letter["topic"], letter["partition"]]
    before = len(log)
    first = await sandbox.stand.submit("/console/dead-letters", "/console/dead-letters/retry", place)
    assert first.headers["location"] == "/console/dead-letters" and len(log) == before + 1
    again = log[-1]
    assert (again.key, again.value, again.headers) == (
        log[letter["offset"]].key,
        b"not a request",
        log[letter["offset"]].headers,
    )
    await bus.clock.sleep(2)
    shown = (await browser.get("/console/dead-letters.json")).json()["letters"]
    assert {one["retried_by"] for one in shown} == {"sandbox", ""}
    token = token_of((await browser.get("/console/dead-letters")).text)
    refused = await browser.post("/console/dead-letters/retry", data=place | {"csrf": token})
    assert refused.status_code == 409 and "retry_impossible" in refused.text and len(log) == before + 1
    lines = list(JournalStore(sandbox.stand.parts.places.journal).show(Filter()))
    assert [(line.step, line.offset) for line in lines if line.step == "retried"] == [("retried", letter["offset"])]


@pytest.mark.parametrize("offset", ["0", "999", "-1", "x", "9" * 30])
async def test_only_dead_letters_are_sent_again(sandbox: Told, offset: str) -> None:
    """What is no dead letter is not written again, wherever the form says it lies."""
    bus = sandbox.stand.bus
    topic = topics.outcomes(bus.operator)
    written = {place: len(log) for place, log in bus.broker.logs.items()}
    page = (
        "/console/dead-letters",
        "/console/dead-letters/retry",
        {"topic": topic, "partition": "0", "offset": offset},
    )
    assert (await sandbox.stand.submit(*page)).status_code in (404, 409)
    assert written == {place: len(log) for place, log in bus.broker.logs.items()}


async def test_lag_and_throughput(sandbox: Told) -> None:
    """The curves have their numbers in the table; who has read everything is behind by nothing."""
    told = (await sandbox.stand.browser.get("/console/topics.json")).json()
    by_topic = {row["topic"]: row for row in told["topics"]}
    assert by_topic[topics.requests(sandbox.stand.bus.operator)]["records"] == 3
    assert by_topic[topics.VERDICTS]["most_per_s"] > 0 and by_topic[topics.VERDICTS]["points"]
    assert {row["behind"] for row in told["groups"]} == {0}


async def test_health(sandbox: Told) -> None:
    """A process that is gone is told as stopped; a provider that fails as failing; what is not JSON is passed over."""
    run = sandbox.stand.parts.places.run
    (run / "worker.ready").write_text(json.dumps({"pid": 2**22 + 1}), encoding="utf-8")
    (run / "broken.ready").write_text("{", encoding="utf-8")
    (run / "cnaf.health.json").write_text(
        json.dumps({"provider": "cnaf", "status": "bad_gateway", "last_ok_status": None}), encoding="utf-8"
    )
    told = (await sandbox.stand.browser.get("/console.json")).json()
    assert [(each["name"], each["ok"]) for each in told["processes"]] == [("worker", False)]
    assert told["ledger"]["ok"] and told["ledger"]["leaves"] > 3 and told["dead_letters"] == 1
    assert "arrêté" in (await sandbox.stand.browser.get("/console")).text


async def test_live_parts(sandbox: Told) -> None:
    """A page refreshes itself unless asked not to."""
    on, off = await sandbox.stand.browser.get("/console"), await sandbox.stand.browser.get("/console?live=0")
    assert 'data-hx-trigger="every 5s"' in on.text and "hx-trigger" not in off.text
