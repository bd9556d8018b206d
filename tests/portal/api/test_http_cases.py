"""Cases 55 to 64 of the bad-input catalogue, `reliability.md` (e), by their numbers: over real sockets, each one bounded refusal, and the portal alive.

`TABLE` names the test of each, here and in the modules beside. Whatever is sent after a message whose end is unclear would be an act:
`Door.acts` is a request that can be made once, and afterwards tells whether it was.
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from exchange.core import topics
from portal.api.context import _REMEMBERED, WRONG, Throttle
from portal.web.connection import Patience
from tests.portal.api import test_connection as connection
from tests.portal.api import test_mutual_tls as mutual_tls
from tests.portal.api.raw import Raw, Said, request
from tests.portal.api.serving import Served
from tests.portal.api.stand import ASSERTION
from tests.portal.api.test_requests import sent
from tests.world import JEANNE

SECRET = b"hunter2-martin"


class Door:
    """One portal for all: whatever a case did, the next is answered."""

    def __init__(self, served: Served) -> None:
        self.served, self.stand = served, served.stand
        self.token = self.stand.token

    def acts(self) -> bytes:
        """A request that proves a client, once."""
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": self.stand.assertion(),
        }
        body = httpx.Request("POST", "http://x", data=form).read()
        return request("POST", "/v1/token", "", body, "content-type: application/x-www-form-urlencoded")

    def says(self, data: bytes) -> list[Said]:
        """All that is answered on one connection, which is closed after it."""
        with Raw(self.served.port) as one:
            one.send(data)
            return one.answers()

    def once(self, method: str, path: str, *more: str, body: bytes = b"", token: str | None = None) -> Said:
        """The one answer to one request on a connection that would take another."""
        with Raw(self.served.port) as one:
            one.send(request(method, path, self.token if token is None else token, body, *more))
            answer = one.answer()
            assert answer is not None
            return answer

    def is_alive(self) -> None:
        assert self.once("GET", "/v1/me").status == 200


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    patience = Patience(body_s=0.7)
    with Served(tmp_path_factory.mktemp("portal"), patience=patience).up() as served:
        yield Door(served)


def quiet(answer: Said) -> None:
    """Nothing of ours, and nothing that was sent, is said back."""
    text = answer.head.encode() + answer.body
    assert SECRET not in text and b"Traceback" not in text and b"/portal/" not in text and len(text) < 8000


CHUNKED = "transfer-encoding: chunked"
UNCLEAR: dict[str, tuple[tuple[str, ...], bytes]] = {
    "length and chunks": (("content-length: 5", CHUNKED), b"0\r\n\r\n"),
    "length of all, and chunks": (("content-length: 9999", CHUNKED), b"0\r\n\r\n"),
    "chunks and length": ((CHUNKED, "content-length: 0"), b"0\r\n\r\n"),
    "two lengths": (("content-length: 0", "content-length: 5"), b"abcde"),
    "a list of lengths": (("content-length: 0, 5",), b"abcde"),
    "a signed length": (("content-length: +5",), b"abcde"),
    "a length in hexadecimal": (("content-length: 0x5",), b"abcde"),
    "a negative length": (("content-length: -5",), b""),
    "no length": (("content-length: ",), b""),
    "an unknown coding": (("transfer-encoding: xchunked",), b"0\r\n\r\n"),
    "a coding after chunked": (("transfer-encoding: chunked, identity",), b"0\r\n\r\n"),
    "chunked twice": ((CHUNKED, CHUNKED), b"0\r\n\r\n"),
    "identity and chunked": (("transfer-encoding: identity", CHUNKED), b"0\r\n\r\n"),
    "a space before the colon": (("transfer-encoding : chunked",), b"0\r\n\r\n"),
    "a name that is none": (("transfer\x0bencoding: chunked",), b"0\r\n\r\n"),
    "a value with a control": (("x: a\x00b",), b""),
    "a carriage return alone": (("x: a\rtransfer-encoding: chunked",), b"0\r\n\r\n"),
    "a chunk of negative size": ((CHUNKED,), b"-1\r\n\r\n"),
    "a chunk sized with a prefix": ((CHUNKED,), b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "a chunk sized with a sign": ((CHUNKED,), b"+5\r\nabcde\r\n0\r\n\r\n"),
    "a chunk sized beyond 20 digits": ((CHUNKED,), b"f" * 21 + b"\r\nabcde\r\n0\r\n\r\n"),
    "a chunk that holds what follows": ((CHUNKED,), b"ffffffffffffffff1\r\nabcde\r\n0\r\n\r\n"),
    "a chunk longer than it says": ((CHUNKED,), b"3\r\nabcde\r\n0\r\n\r\n"),
    "a chunk ended by a line feed": ((CHUNKED,), b"5\r\nabcdeX\n0\r\n\r\n"),
    "a chunk without size": ((CHUNKED,), b"\r\nabcde\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_a_message_whose_end_is_unclear(door: Door, name: str) -> None:
    """Case 57: refused once and the connection closed, whether what follows is meant as the body or as the next request: it is not done."""
    told, body = UNCLEAR[name]
    follows = door.acts()
    for path, kind in (
        ("/v1/token", "application/x-www-form-urlencoded"),
        ("/v1/requests", "application/json"),
        ("/", "text/plain"),
    ):
        data = request("POST", path, door.token, body or b"", f"content-type: {kind}", *told)
        answers = door.says(data + follows)
        assert len(answers) <= 1 and all(answer.status in (400, 404, 405, 413, 501) for answer in answers), (
            path,
            answers,
        )
        assert answers or name == "a chunk that holds what follows"  # which waits for its end, in vain
        for answer in answers:
            quiet(answer)
    assert [
        answer.status
        for answer in door.says(follows.replace(b"content-length", b"connection: close\r\ncontent-length"))
    ] == [200]
    door.is_alive()


def test_chunks_in_an_old_message(door: Door) -> None:
    """Case 57: HTTP/1.0 has no chunks (RFC 9112 §6.1)."""
    data = request("POST", "/v1/token", "", b"0\r\n\r\n", CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert [answer.status for answer in door.says(data + door.acts())] == [400]


def test_two_clear_messages(door: Door) -> None:
    """Beside case 57: two requests on one connection, one of them in chunks, are both answered, so it is not that which is refused above."""
    chunks = request(
        "POST", "/v1/consents/checks", door.token, b"2\r\n{}\r\n0\r\n\r\n", CHUNKED, "content-type: application/json"
    )
    with Raw(door.served.port) as one:
        one.send(chunks + door.acts())
        answers = [one.answer(), one.answer()]
    assert [answer.status for answer in answers if answer] == [400, 200]


def test_a_bomb(door: Door) -> None:
    """Case 58: ten mebibytes of nothing in ten kibibytes: what is compressed is not opened, by the API nor by a page."""
    bomb = gzip.compress(bytes(10 << 20))
    for path, coding in (
        (path, coding)
        for path in ("/v1/requests", "/v1/token", "/guichet")
        for coding in ("gzip", "br", "gzip, gzip", "x")
    ):
        answer = door.once("POST", path, "content-type: application/json", f"content-encoding: {coding}", body=bomb)
        assert answer.status == 415
        quiet(answer)
    door.is_alive()


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "a/b/c",
        "\xe9",
    ],
)
def test_another_type(door: Door, kind: str) -> None:
    """Case 59: a body of another type, of none, or in another encoding, is not guessed at."""
    answer = door.once(
        "POST", "/v1/requests", *([f"content-type: {kind}"] if kind else []), body=b'{"a":"' + SECRET + b'"}'
    )
    assert answer.status == 415
    quiet(answer)
    door.is_alive()


PATHS = [
    "/v1/%2e%2e/healthz", "/v1/..%2fhealthz", "/v1/../v1/me", "//v1/me", "/v1//me", "/v1/me;a=b", "/v1/me%00", "/v1/me%0d%0ax: y", "/v1/%ff%fe",
    "/%2e%2e/%2e%2e/etc/passwd", "/static/../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fserving.py",
    "/static//etc/passwd", "/static/%00", "/static/vendor%5c..%5caccord.css%00", "/mes-accords/accord/..%2f..%2fconsole", "/%00", "//etc/passwd",
    "*", "http://elsewhere.test/v1/me", "/" + "a" * 15_000, "/" + "%41" * 5_000, "/v1/requests/" + "0" * 33, "/?" + "a=b&" * 3_000,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=[path[:30] for path in PATHS])
def test_another_path(door: Door, path: str) -> None:
    """Case 60: an address in disguise leads nowhere: not to another page, not out of a folder, and no fault of ours comes of it."""
    answer = door.once("GET", path)
    assert answer.status in ((200,) if path.startswith("/?") else (301, 307, 400, 404, 421)), (path, answer.status)
    assert b"root:" not in answer.body and b"import " not in answer.body and b'"client"' not in answer.body
    if answer.status != 200:
        quiet(answer)
    door.is_alive()


@pytest.mark.parametrize("target", [b"/v1/me\x00", b"/v1/\xc3\xa9", b"/v1/me HTTP/1.1\r\nx: y", b"/v1 /me", b""])
def test_a_target_that_is_none(door: Door, target: bytes) -> None:
    """Case 60: bytes that no address may hold end the connection, or lead nowhere."""
    data = request("GET", "@", door.token).replace(b"@", target)
    answers = door.says(data.replace(b"host:", b"connection: close\r\nhost:"))
    assert all(answer.status in (400, 404) for answer in answers) or target.endswith(b"x: y")
    door.is_alive()


@pytest.mark.parametrize(
    "method", ["TRACE", "TRACK", "CONNECT", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "FOO", "A" * 500]
)
@pytest.mark.parametrize("path", ["/v1/me", "/", "/mes-accords", "/healthz"])
def test_another_method(door: Door, method: str, path: str) -> None:
    """Case 61: GET and POST only (HEAD for pages); nothing that was sent comes back, whatever a header or a field would have it be."""
    more = (
        "x-http-method-override: GET",
        "x-http-method: GET",
        "x-method-override: GET",
        f"x-secret: {SECRET.decode()}",
    )
    answer = door.once(method, f"{path}?_method=GET", *more)
    assert answer.status == 405
    quiet(answer)
    withdrawn = door.once("POST", "/v1/me?_method=DELETE", "x-http-method-override: DELETE", body=b"_method=DELETE")
    assert withdrawn.status == 405
    door.is_alive()


def test_another_page(door: Door) -> None:
    """Case 62: sizes out of bounds, and a cursor of another operator, with any bit changed, cut or made longer, give one refusal each and no
    event; the one that was given goes on."""
    for size in ("-1", "0", "501", "1000000000", "9" * 400, "1e3", "0x10", "", "١"):
        answer = door.once(
            "GET", f"/v1/events?limit={httpx.QueryParams({'limit': size})}".replace("limit=limit=", "limit=")
        )
        assert answer.status == 400, size
        quiet(answer)
    given = re.search(r'"cursor":"([^"]+)"', door.once("GET", "/v1/events?after=latest").body.decode())
    assert given is not None
    cursor = given[1]
    other = door.served.run(door.stand.another("552100554"))
    door.stand.bus.broker.create(topics.specs(["552100554"], [], partitions=1, cluster=False))
    changed = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(len(cursor))]
    for text in (*changed, cursor[:-1], cursor + "A", "", "0:5")[: len(changed) + 2]:
        answer = door.once("GET", f"/v1/events?after={text}")
        assert answer.status == 400 and b"bad_cursor" in answer.body, text
    assert door.once("GET", f"/v1/events?after={cursor}", token=other).status == 400
    assert door.once("GET", f"/v1/events?after={cursor}").status == 200


def test_a_condition_that_does_not_hold(door: Door) -> None:
    """Case 63: nothing here has an entity tag, so `If-Match` with one never holds (RFC 9110 §13.1.1): refused, and nothing was done; what
    would be done without it is, afterwards and once."""
    agreement = door.served.run(door.stand.bus.give(JEANNE))
    _, value = door.stand.message(agreement)
    body = httpx.Request("POST", "http://x", json=sent(agreement, value)).read()
    published = lambda: len(door.stand.bus.broker.records(topics.requests(door.stand.bus.operator)))  # noqa: E731  # a count
    before = published()
    for tag in ('"stale"', 'W/"stale"', '"a", "b"', "", "stale"):
        answer = door.once("POST", "/v1/requests", "content-type: application/json", f"if-match: {tag}", body=body)
        assert answer.status == 412 and b"precondition_failed" in answer.body
        assert door.once("POST", f"/v1/consents/{agreement.hex()}/withdrawals", f"if-match: {tag}").status == 412
        assert door.once("GET", "/v1/me", f"if-match: {tag}").status == 412
    assert published() == before
    assert door.once("POST", "/v1/requests", "content-type: application/json", "if-match: *", body=body).status == 202
    assert published() == before + 1


def test_ten_thousand_wrong_tokens(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """Case 64: ten thousand in a row get the same 401, then the same 429; a good one is answered all the while; neither memory nor logs nor
    the store grow with them."""
    api = door.stand.app.state.http.api
    generous, api.wrong._rate = api.wrong._rate, WRONG
    api.wrong._buckets.clear()
    seen, batch = set[tuple[int, bytes]](), 100
    try:
        with capture_logs() as logs, caplog.at_level(logging.INFO), Raw(door.served.port, 30) as one:
            for number in range(10_000 // batch):
                wrong = [f"{number:06}{each:06}{'x' * 31}" for each in range(batch)]
                one.send(b"".join(request("GET", "/v1/me", token) for token in wrong))
                for _ in wrong:
                    answer = one.answer()
                    assert answer is not None
                    assert answer.status == 401 or int(re.search(r"retry-after: (\d+)", answer.head)[1]) >= 1  # type: ignore[index]  # each has one
                    seen.add((answer.status, re.search(rb'"code":"(\w+)"', answer.body)[1]))  # type: ignore[index]  # each has one
                if number % 20 == 0:
                    door.is_alive()
        assert seen == {(401, b"token_invalid"), (429, b"too_many")}
        assert len(api.wrong._buckets) == 1 and logs == [] and caplog.records == []
        door.is_alive()
    finally:
        api.wrong._rate = generous


def test_wrong_tokens_of_many_addresses() -> None:
    """Case 64: of so many addresses no more are remembered than are wanted, and each is slowed down by itself."""
    throttle = Throttle(WRONG)
    for number in range(3 * _REMEMBERED):
        assert throttle.take(str(number), 0).allowed
    assert len(throttle._buckets) == _REMEMBERED
    last = [throttle.take("the last", 0).allowed for _ in range(WRONG.burst + 1)]
    assert last.count(True) == WRONG.burst


TABLE: dict[int, tuple[Callable[..., Any], ...]] = {
    55: (
        mutual_tls.test_with_its_certificate, mutual_tls.test_without_its_certificate, mutual_tls.test_a_certificate_that_proves_nothing,
        mutual_tls.test_a_stolen_token, mutual_tls.test_a_certificate_that_a_header_tells, mutual_tls.test_behind_a_proxy_its_own_certificate_is_nobodys,
    ),
    56: (
        connection.test_a_byte_now_and_then, connection.test_a_slow_second_request, connection.test_who_does_not_read,
        connection.test_who_comes_when_all_places_are_held, connection.test_ten_thousand_idle_connections,
        mutual_tls.test_a_handshake_that_does_not_come,
    ),
    57: (test_a_message_whose_end_is_unclear, test_chunks_in_an_old_message, test_two_clear_messages),
    58: (test_a_bomb,),
    59: (test_another_type,),
    60: (test_another_path, test_a_target_that_is_none),
    61: (test_another_method,),
    62: (test_another_page,),
    63: (test_a_condition_that_does_not_hold,),
    64: (test_ten_thousand_wrong_tokens, test_wrong_tokens_of_many_addresses),
}  # fmt: skip


@pytest.mark.parametrize("number", range(55, 65))
def test_each_case_has_its_tests(number: int) -> None:
    """Each number of the catalogue's part on HTTP has tests, which say so."""
    assert TABLE[number]
    for test in TABLE[number]:
        assert re.search(rf"\bcase {number}\b", test.__doc__ or "", re.IGNORECASE), test.__name__
