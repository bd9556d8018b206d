"""The SDK's way to a bus without Kafka: its outbox, its reader and the ledger calls it needs, over the HTTP API `/v1`.

What is asked was sealed before and what is answered is opened after, by the same `exchange.sdk.Bus`: here only sealed bytes pass.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, import_key

from consent.core.facts import Acknowledgement, DirectoryEntry, Evidence, Grant, Outcome, State, Submission, Terms
from consent.keys import BadKeyFile
from consent.keys.files import read as read_secret
from exchange import outcomes, wire
from exchange.core import topics
from exchange.core.errors import Code
from exchange.core.rendering import rfc3339
from exchange.core.urls import secure_url
from exchange.ports import Batches, Clock, Headers, Ledger, Message, Record, Refused, Unavailable
from exchange.recording import ONLINE
from exchange.tracing import carried

ASSERTION_S, TIMEOUT_S, WAIT_S, PAGE = 60, 30.0, 20, 100
PATIENT_S = 60.0
"""How long in all a call waits because the door said to."""
_PREVIEW = "request.preview_pending"
"""How the door calls the notice that an answer waits for its person (`portal.core.views`)."""
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class HttpDoor:
    """The API of one bus, as one client: proves itself when it must, and calls no faster than it may. `Unavailable` where it does not answer,
    `Refused` with its code where it says no."""

    def __init__(
        self,
        url: str,
        client: str,
        key: Key,
        clock: Clock,
        http: httpx.AsyncClient | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`url`: https, or http on the loopback (`ValueError`); `key` is private; `tls` as `secured` makes it."""
        self._url, self._client, self._key, self._clock = f"{secure_url(url)}/v1", client, key, clock
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT_S + WAIT_S, trust_env=False, verify=tls or secured())
        self._token, self._proving, self._next_ms = "", asyncio.Lock(), 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        """The JSON that is answered."""
        waited_s = 0.0
        while True:
            await self._paced()
            token = self._token or await self._prove("")
            answer = await self._send(method, path, {"authorization": f"Bearer {token}", **(headers or {})}, **more)
            if answer.status_code == 401 and token == self._token:
                self._token = ""
            elif answer.status_code != 401:
                wait_s = _retry_s(answer)
                if answer.status_code != 429 or waited_s + wait_s > PATIENT_S:
                    return _said(answer)
                waited_s += wait_s
                await self._clock.sleep(wait_s)
            else:
                waited_s += 1  # another call has renewed it meanwhile; not for ever
                if waited_s > PATIENT_S:
                    return _said(answer)

    async def _send(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, f"{self._url}{path}", headers=dict(headers), **more)
        except httpx.HTTPError as error:
            raise Unavailable(type(error).__name__) from None
        if answer.headers.get("ratelimit-remaining") == "0":
            pace_s = int(answer.headers.get("ratelimit-reset", 0)) / max(
                1, int(answer.headers.get("ratelimit-limit", 1))
            )
            self._next_ms = self._clock.monotonic_ms() + 1000 * pace_s
        return answer

    async def _paced(self) -> None:
        """Where nothing is left, as slowly as it comes back."""
        left_s = (self._next_ms - self._clock.monotonic_ms()) / 1000
        if left_s > 0:
            await self._clock.sleep(left_s)

    async def _prove(self, spent: str) -> str:
        """A token, asked for once by all who need one."""
        async with self._proving:
            if self._token != spent:
                return self._token
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": _ASSERTION,
                "client_assertion": self._assertion(),
            }
            said = _said(await self._send("POST", "/token", {}, data=form))
            self._token = str(said["access_token"])
            return self._token

    def _assertion(self) -> str:
        """RFC 7523 §3."""
        now_s = self._clock.now_ms() // 1000
        claims = {"iss": self._client, "sub": self._client, "aud": f"{self._url}/token", "iat": now_s, "exp": now_s + ASSERTION_S,
                  "jti": os.urandom(16).hex()}  # fmt: skip
        algorithm = algorithm_of(self._key)
        return jwt.encode({"alg": algorithm}, claims, self._key, algorithms=[algorithm])


def algorithm_of(key: Key) -> str:
    """What a key of this kind signs with here."""
    return "ES256" if isinstance(key, ECKey) else "Ed25519" if isinstance(key, OKPKey) else "PS256"


def read_key(path: Path) -> Key:
    """The private JWK in a file that is its owner's alone; BadKeyFile."""
    try:
        return import_key(json.loads(read_secret(path)))
    except (ValueError, TypeError, KeyError, JoseError):
        raise BadKeyFile(f"{path.name}: not a JWK") from None


def secured(authority: Path | None = None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A client's TLS: whom it believes (None: whom the public web does), and the certificate it shows, if it has one (PEM). BadKeyFile."""
    context = httpx.create_ssl_context(trust_env=False)
    try:
        if authority is not None:
            context = ssl.create_default_context(cafile=authority)
        if certificate is not None and key is not None:
            read_secret(key)
            context.load_cert_chain(certificate, key, password=lambda: b"")  # or it would be asked for on the terminal
        elif certificate is not None or key is not None:
            raise BadKeyFile("ACCORD_CLIENT_TLS_CERT_FILE, ACCORD_CLIENT_TLS_KEY_FILE: one absent")
    except OSError:
        raise BadKeyFile(", ".join(path.name for path in (authority, certificate, key) if path)) from None
    return context


def _said(answer: httpx.Response) -> Any:
    if answer.status_code < 300:
        return answer.json()
    try:
        code = Code(answer.json()["code"])
    except (ValueError, KeyError, TypeError):
        raise Unavailable(f"HTTP {answer.status_code}") from None
    if answer.status_code >= 500 or code in (Code.TOO_MANY, Code.IN_FLIGHT):
        raise Unavailable(code.value)
    raise Refused(code)


def _retry_s(answer: httpx.Response) -> float:
    value = answer.headers.get("retry-after", "1")
    return float(value) if value.isascii() and value.isdigit() else 1.0


class HttpOutbox:
    """`exchange.ports.Outbox` for requests only; what the door does not take is the error the bus would have told."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door

    def partitions(self, topic: str) -> int:
        """One: the door spreads them."""
        return 1

    async def refresh(self) -> None: ...

    async def send(self, batches: Batches, timeout_ms: int | None = None) -> None:
        """Sent again, a request is the same request: `Unavailable` may be followed by the same call."""
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                await asyncio.gather(*(self._in_order(topic, messages) for (topic, _), messages in batches.items()))
        except TimeoutError:
            raise Unavailable("timeout") from None

    async def _in_order(self, topic: str, messages: Sequence[Message]) -> None:
        assert topics.matches(topics.ALL_REQUESTS, topic), "an application writes requests"
        for message in messages:
            body = {"authorisation": (message.key or b"").hex(), "message": base64.b64encode(message.value).decode()}
            trace = {name: value.decode("ascii", "replace") for name, value in carried(message.headers)}
            try:
                await self._door.call("POST", "/requests", trace, json=body)
            except Refused as refused:
                raise outcomes.of(refused.code) from None


class _Told(NamedTuple):
    """`exchange.ports.Record`: an outcome as the door tells it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Headers = ()


class HttpReader:
    """`exchange.ports.Reader` of an operator's outcomes. There is one partition here; the offset that follows a record is the door's cursor,
    its bytes read as a number, so that whoever keeps offsets keeps cursors."""

    def __init__(self, door: HttpDoor, topic: str, offsets: Mapping[int, int]) -> None:
        self._door, self._topic, self._cursor = door, topic, _text(offsets.get(0, 0))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def next(self, timeout_ms: int = 500) -> list[Sequence[Record]]:
        """Waits at the door rather than here: longer than told, and less often."""
        page = await self._page(self._cursor, {"prefer": f"wait={WAIT_S}"})
        self._cursor = page["meta"]["cursor"]
        found = [self._record(event) for event in page["data"]]
        return [found] if found else []

    async def end_offsets(self) -> dict[int, int]:
        page = await self._page("latest", {})
        return {0: _number(page["meta"]["cursor"])}

    async def _page(self, after: str, headers: Mapping[str, str]) -> Any:
        try:
            return await self._door.call("GET", "/events", headers, params={"after": after, "limit": PAGE})
        except Refused as refused:
            raise outcomes.of(refused.code) from None

    def _record(self, event: Mapping[str, Any]) -> Record:
        message, key = base64.b64decode(event["message"]), bytes.fromhex(event["authorisation"])
        headers = [("ce_type", wire.event_type(wire.PREVIEW))] if event["type"] == _PREVIEW else []
        return _Told(self._topic, 0, _number(event["cursor"]) - 1, 0, key, message, headers)


def _number(cursor: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), "big")


def _text(number: int) -> str:
    data = number.to_bytes(math.ceil(number.bit_length() / 8), "big")
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class _HttpLedger:
    """What the SDK asks of the ledger: public keys, its own agreements and their capsules, and to open what waits."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door

    async def directory(self) -> list[DirectoryEntry]:
        keys = ("public_key", "enrolment_key", "signature", "countersignature")
        found = (await self._door.call("GET", "/directory"))["data"]
        return [
            DirectoryEntry(
                kind=one["kind"], organisation=one["organisation"], operator=one["operator"], not_after_ms=one["not_after"],
                **{name: base64.b64decode(one[name]) for name in keys},
            )
            for one in found
        ]  # fmt: skip

    async def intake(self) -> DirectoryEntry:
        return next(one for one in await self.directory() if one.kind == "ledger")

    async def request(self, authorisation: bytes, terms: Terms, evidence: Evidence, operator: str) -> None:
        body = {"id": authorisation.hex(), "evidence": evidence_body(evidence)} | terms_body(terms)
        await self._door.call("POST", "/consents", json=body)

    async def grant_sealed(
        self, authorisation: bytes, terms: Terms, sealed: bytes, evidence: Evidence, operator: str
    ) -> Grant:
        """For the door's own client's operator, as the next."""
        body = {"sealed": base64.b64encode(sealed).decode(), "evidence": evidence_body(evidence)} | terms_body(terms)
        return _grant(await self._door.call("POST", f"/consents/{authorisation.hex()}/grants", json=body))

    async def refuse(self, authorisation: bytes, terms: Terms, evidence: Evidence) -> None:
        body = {"evidence": evidence_body(evidence)} | terms_body(terms)
        await self._door.call("POST", f"/consents/{authorisation.hex()}/refusals", json=body)

    async def withdraw(self, authorisation: bytes, happening: str, evidence: Evidence | None = None) -> Acknowledgement:
        body = {"happening": happening, "evidence": evidence_body(evidence or ONLINE)}
        said = await self._door.call("POST", f"/consents/{authorisation.hex()}/withdrawals", json=body)
        return Acknowledgement(
            authorisation, State(said["state"]), said["leaf_index"], bytes.fromhex(said["leaf_hash"]), _ms(said["at"]),
            tuple(bytes.fromhex(request) for request in said["named"]), said["note"],
        )  # fmt: skip

    async def capsule(self, authorisation: bytes, operator: str) -> Grant:
        """Sealed to the key the door's own client's operator holds."""
        return _grant(await self._door.call("GET", f"/consents/{authorisation.hex()}/capsule"))

    async def open(self, submission: Submission, worker: str = "") -> Outcome:
        """By this door's own hand: it has the lease, and so has who called."""
        said = await self._door.call("POST", f"/requests/{submission.key.request.hex()}/answer")
        key = bytes.fromhex(said["authorisation"])
        outcome = wire.read_outcome(_Told("", 0, 0, 0, key, base64.b64decode(said["message"])))
        if (outcome.key, outcome.digest) != (submission.key, submission.digest):
            raise Refused(Code.NOTHING_WAITS)
        return outcome

    async def received(self, submissions: Sequence[Submission]) -> None:
        for submission in submissions:
            await self._door.call("POST", f"/requests/{submission.key.request.hex()}/reception")


def _grant(one: Mapping[str, Any]) -> Grant:
    certificate, capsule = base64.b64decode(one["certificate"]), base64.b64decode(one["capsule"])
    return Grant(bytes.fromhex(one["authorisation"]), certificate, capsule, one["leaf_index"])


def terms_body(terms: Terms) -> dict[str, Any]:
    """Terms as the door reads them; who provides a data set it knows."""
    alike = ("recipient", "data_set", "purpose", "max_uses", "basis", "legal_reference", "notice_version", "data_life_days", "assurance", "watch_every_ms")  # fmt: skip
    return {name: getattr(terms, name) for name in alike} | {
        "scopes": list(terms.scopes), "not_before": rfc3339(terms.not_before_ms), "not_after": rfc3339(terms.not_after_ms),
        "notice_hash": terms.notice_hash.hex(), "rule": base64.b64encode(terms.rule).decode(),
    }  # fmt: skip


def _ms(text: str) -> int:
    """RFC 3339 as the door writes it, in ms since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def evidence_body(evidence: Evidence) -> dict[str, str]:
    """Evidence that names nobody."""
    return {
        "channel": evidence.channel, "agent": evidence.agent, "evidence_hash": evidence.evidence_hash.hex(), "assurance": evidence.assurance,
    }  # fmt: skip


def http_ledger(door: HttpDoor) -> Ledger:
    """The part of the ledger that an SDK calls; it has no other method."""
    return cast(Ledger, _HttpLedger(door))
