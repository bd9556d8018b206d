"""The bad-input catalogue of the HTTP door: each case ends in one bounded refusal with the right code, says nothing of what it was given, and
the next call is answered."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from exchange.core import topics
from exchange.core.heads import SIZE_MAX_BYTES
from tests.portal.api.stand import Stand, open_stand
from tests.portal.api.test_consents import wanted
from tests.portal.api.test_requests import sent
from tests.world import JEANNE

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """One for all: whatever a case did, the next is answered."""
    async with open_stand(tmp_path_factory.mktemp("portal")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def stand(one: Stand) -> Stand:
    """With a token that is good, and nobody who calls too often."""
    one.calm()
    one.token = await one.login()
    return one


SECRET = "hunter2-martin"  # what must not be said back
ID = "0" * 32
GOOD: dict[str, Any] = {"authorisation": ID, "message": "AAAA"}
RAW: list[tuple[str, bytes, str]] = [
    ("1 empty", b"", "bad_field"),
    ("2 not json", SECRET.encode(), "bad_json"),
    ("2 null", b"null", "bad_field"),
    ("2 a list", b"[]", "bad_field"),
    ("2 two values", b"{} {}", "bad_json"),
    ("3 a key twice", b'{"authorisation":"a","authorisation":"b","message":""}', "bad_json"),
    ("3 a key twice, deep", b'{"authorisation":"a","message":[{"x":1,"x":2}]}', "bad_json"),
    ("7 nested", b"[" * 100_000, "bad_json"),
    ("7 nested objects", b'{"a":' * 100_000, "bad_json"),
    ("9 NaN", b'{"authorisation":NaN}', "bad_json"),
    ("9 Infinity", b'{"authorisation":-Infinity}', "bad_json"),
    ("9 1e400", b'{"authorisation":1e400}', "bad_json"),
    ("9 2^63", b'{"authorisation":9223372036854775808}', "bad_json"),
    ("9 long number", b'{"authorisation":' + b"9" * 5000 + b"}", "bad_json"),
    ("9 -0", b'{"authorisation":-0}', "bad_field"),
    ("10 lone surrogate", b'{"authorisation":"\\ud800"}', "bad_json"),
    ("10 overlong", b'{"authorisation":"\xc0\xaf"}', "bad_json"),
    ("10 latin-1", b'{"authorisation":"\xe9"}', "bad_json"),
    ("10 byte order mark", b"\xef\xbb\xbf{}", "bad_json"),
    ("10 utf-16", '{"a":1}'.encode("utf-16"), "bad_json"),
]
FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("4 unknown field", GOOD | {SECRET: 1}, "bad_field"),
    ("17 reply topic", GOOD | {"reply_to": "https://elsewhere.test"}, "bad_field"),
    ("6 missing message", {"authorisation": ID}, "bad_field"),
    ("6 missing authorisation", {"message": ""}, "bad_field"),
    *[(f"5 type {kind}", GOOD | {"authorisation": value}, "bad_field") for kind, value in {"int": 1, "null": None, "list": [], "object": {}, "bool": True}.items()],
    *[(f"11 id {text!r:.20}", GOOD | {"authorisation": text}, "bad_field") for text in ("../" * 10, "a\r\nb", "'\" OR 1=1", "x" * 10_000, "\0" * 32, "é" * 32, "A" * 32, ID + "\n", "\u202e" + ID[1:])],
    ("base64 with a space", GOOD | {"message": "AA AA"}, "bad_field"),
    ("base64 of another form", GOOD | {"message": "AB=="}, "bad_field"),
    ("not a frame", GOOD | {"message": base64.b64encode(SECRET.encode() * 10).decode()}, "bad_frame"),
    ("no bytes", GOOD | {"message": ""}, "bad_frame"),
]  # fmt: skip


async def refused(stand: Stand, answer: Any, status: int, code: str) -> None:
    """One problem, of the right code, that repeats nothing; and the door goes on."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    told = answer.json()
    assert (told["code"], told["status"]) == (code, status) and told["title"] and told["todo"]
    assert SECRET not in answer.text and "Traceback" not in answer.text and len(answer.content) < 4000
    assert (await stand.call("GET", "/me")).status_code == 200


@pytest.mark.parametrize(("body", "code"), [(body, code) for _, body, code in RAW], ids=[name for name, _, _ in RAW])
async def test_bodies_that_are_no_strict_json(stand: Stand, body: bytes, code: str) -> None:
    """Cases 1–3, 7, 9, 10."""
    headers = {"content-type": "application/json"}
    await refused(stand, await stand.call("POST", "/requests", content=body, headers=headers), 400, code)


async def test_truncated_at_every_byte(stand: Stand) -> None:
    """Case 2: no prefix of a good body is taken for one."""
    agreement = await stand.bus.give(JEANNE)
    whole = json.dumps(sent(agreement, b"x" * 20)).encode()
    for size in range(len(whole)):
        told = await stand.call("POST", "/requests", content=whole[:size], headers={"content-type": "application/json"})
        assert told.status_code == 400 and told.json()["code"] in ("bad_json", "bad_field")


@pytest.mark.parametrize(
    ("body", "code"), [(body, code) for _, body, code in FIELDS], ids=[name for name, _, _ in FIELDS]
)
async def test_fields_that_are_not_what_they_should_be(stand: Stand, body: dict[str, Any], code: str) -> None:
    """Cases 4–6, 11, 17: the field is named, never its content."""
    answer = await stand.call("POST", "/requests", json=body)
    await refused(stand, answer, 400, code)
    if code == "bad_field":
        assert all(
            set(error["field"]) <= set("abcdefghijklmnopqrstuvwxyz_.*0123456789") for error in answer.json()["errors"]
        )


async def test_requests_the_gate_would_bury(stand: Stand) -> None:
    """Truncated at every byte, too large, of another agreement, a ttl out of bounds, an unknown data set: refused at the door, nothing published."""
    agreement = await stand.bus.give(JEANNE)
    _, value = stand.message(agreement)
    for size in range(0, len(value), 7):
        told = await stand.call("POST", "/requests", json=sent(agreement, value[:size]))
        assert (told.status_code, told.json()["code"]) in ((400, "bad_frame"), (400, "bad_avro"))
    large = value + b"x" * SIZE_MAX_BYTES
    await refused(stand, await stand.call("POST", "/requests", json=sent(agreement, large)), 413, "too_large")
    await refused(stand, await stand.call("POST", "/requests", json=sent(os.urandom(16), value)), 400, "bad_key")
    for ttl_ms in (0, 999, 48 * 3_600_000 + 1, 100 * 365 * 86_400_000 % (1 << 32)):  # case 18
        _, odd = stand.message(agreement, ttl_ms=ttl_ms)
        await refused(stand, await stand.call("POST", "/requests", json=sent(agreement, odd)), 400, "ttl_out_of_bounds")
    _, odd = stand.message(agreement, data_set="cnaf.nothing.v1")  # case 19
    await refused(stand, await stand.call("POST", "/requests", json=sent(agreement, odd)), 400, "data_set_unknown")
    assert stand.bus.broker.records(topics.requests(stand.bus.operator)) == []


async def test_sizes_and_media_types(stand: Stand) -> None:
    """Cases 8, 58, 59: 1 MiB and a byte, ten GiB announced, compressed, of another type or none."""
    plain = {"content-type": "application/json"}
    await refused(
        stand, await stand.call("POST", "/requests", content=b" " * ((1 << 20) + 1), headers=plain), 413, "too_large"
    )
    for declared in (str(10 << 30), "9" * 100, "-1", "1.5"):
        answer = await stand.call("POST", "/requests", content=b"{}", headers=plain | {"content-length": declared})
        await refused(stand, answer, 413, "too_large")
    for more in (
        {"content-type": "text/plain"}, {"content-type": ""}, {"content-type": "application/json; charset=utf-16"},
        plain | {"content-encoding": "gzip"}, {"content-type": "application/x-www-form-urlencoded"},
    ):  # fmt: skip
        await refused(stand, await stand.call("POST", "/requests", content=b'{"a":1}', headers=more), 415, "media_type")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "HEAD", "OPTIONS", "FOO"])
async def test_other_methods(stand: Stand, method: str) -> None:
    """Case 61: GET and POST only; nothing overrides that."""
    answer = await stand.call(method, "/me", headers={"x-http-method-override": "GET"})
    assert answer.status_code == 405 and answer.headers["allow"] == "GET"
    told = await stand.call("POST", "/me", headers={"x-http-method-override": "GET"})
    assert told.json()["code"] == "method_unknown"


async def test_the_methods_of_an_address_are_all_told(stand: Stand) -> None:
    """`Allow` names each method that the document gives the address (RFC 9110, section 15.5.6), also where two operations share it."""
    paths = (await stand.call("GET", "/openapi.json")).json()["paths"]
    shared = [path for path, operations in paths.items() if len(operations) == 2]
    assert shared
    for path in paths:
        answer = await stand.call("OPTIONS", re.sub(r"\{.*?\}", "0" * 32, path))
        assert answer.headers.get("allow", "").split(", ") == sorted(method.upper() for method in paths[path]), path


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "//me",
        "/me/",
        "/me;x",
        "/%2e%2e/healthz",
        "/me%00",
        "/requests/../me%0a",
        "/requests/" + "x" * 5000,
    ],
)
async def test_other_addresses(stand: Stand, path: str) -> None:
    """Case 60: one problem, whatever the address holds."""
    answer = await stand.call("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_there")
    assert "x" * 100 not in answer.text


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=0", "limit=1000000000", "limit=x", "limit=1e3", "after=%00", "after=" + "x" * 5000]
)
async def test_other_pages(stand: Stand, query: str) -> None:
    """Case 62: sizes out of bounds, cursors that are none."""
    await refused(stand, await stand.call("GET", f"/events?{query}"), 400, "bad_field")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"recipient": "21130055300017"}, 400, "bad_field"),  # case 16: the key of a SIRET
        ({"recipient": "356000000498377"}, 400, "bad_field"),
        ({"recipient": "35600000049837"}, 403, "delegation_absent"),
        ({"data_set": "cnaf.nothing.v1"}, 400, "bad_field"),
        ({"purpose": ""}, 400, "bad_field"),
        ({"purpose": "*"}, 400, "bad_field"),
        ({"purpose": "nothing-such"}, 403, "habilitation_absent"),  # case 15
        ({"scopes": []}, 400, "bad_field"),
        ({"scopes": ["no_such"]}, 409, "scope_exceeded"),
        ({"max_uses": 0}, 400, "bad_field"),
        ({"max_uses": 1e9}, 400, "bad_field"),
        ({"legal_reference": "x\u202ey"}, 400, "bad_field"),
        ({"legal_reference": "x\0y"}, 400, "bad_field"),
        ({"basis": "legal"}, 409, "notice_missing"),
        ({"assurance": "eidas4"}, 400, "bad_field"),
        *[
            ({"not_after": text}, 400, "bad_field")  # case 12
            for text in ("2026-02-30T00:00:00Z", "2027-01-01T24:60:00Z", "2027-06-30T23:59:61Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2027-06-01T00:00:00", "2027-06-01", "demain", "")
        ],
        ({"not_after": "2020-01-01T00:00:00Z"}, 409, "authorisation_expired"),
        ({"not_before": "2028-01-01T00:00:00Z", "not_after": "2027-12-31T00:00:00Z"}, 409, "authorisation_expired"),
    ],
)  # fmt: skip
async def test_agreements_that_cannot_be_asked_for(
    stand: Stand, change: dict[str, Any], status: int, code: str
) -> None:
    """Cases 12, 15, 16, 27: numbers with a wrong key, days that are none, purposes and scopes that nobody may ask."""
    await refused(stand, await stand.call("POST", "/consents", json=wanted(stand, **change)), status, code)


async def test_a_bug_is_told_as_one(stand: Stand) -> None:
    """A fault of ours is a problem like any other: no trace, no value, and the next call is answered."""
    api = stand.app.state.http.api
    ledger, broken = api.parts.ledger, type("Broken", (), {"directory": lambda self: 1 / 0})()
    object.__setattr__(api.parts, "ledger", broken)
    answer = await stand.http.get("/v1/directory")
    object.__setattr__(api.parts, "ledger", ledger)
    await refused(stand, answer, 500, "internal")
