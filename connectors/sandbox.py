"""A sandbox State API: a real HTTP server that answers by the contracts of API Particulier, API Entreprise and the DGFiP from YAML cases.

It holds what a connector can meet: token, recipient, parameters, 404, 409 on an identical call in progress, 429 with
its headers, the 24 h cache's header; and, at a test's word, the incidents the contract does not promise.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from connectors.core import dgfip, rules
from connectors.core.cases import Case, NotACase, best, normalise, parse
from connectors.core.description import PLACEHOLDER
from connectors.core.rules import Refusal, Window
from connectors.rest.descriptions import descriptions
from exchange.clock import SystemClock
from exchange.ports import Clock

FAMILIES = Path(__file__).parent / "sandbox_cases"
"""Fictitious families of ours, in the State's own shape."""

ROUTES = {
    "api_particulier_v3_cnous_etudiant_boursier_with_civility": "/v3/cnous/etudiant_boursier/identite",
    "api_particulier_v3_cnous_etudiant_boursier_with_ine": "/v3/cnous/etudiant_boursier/ine",
} | {operation.id: operation.path for each in descriptions().values() for operation in each.operations}
"""Operation -> route served (OpenAPI ``x-operationId`` and path). Folders of other operations load, and answer nowhere."""
MEDIA_TYPES = {
    operation.id: operation.media_type
    for each in descriptions().values()
    for operation in each.operations
    if operation.media_type
}
_PLAIN = {path: name for name, path in ROUTES.items() if not PLACEHOLDER.search(path)}
_FILLED = {
    name: re.compile(PLACEHOLDER.sub(r"(?P<\1>[^/]+)", path)) for name, path in ROUTES.items() if path not in _PLAIN
}
MEDIA_TYPE = "application/vnd.api+json; charset=utf-8"
CACHE_S = 24 * 3600
TOKEN_S = 3600
START_S = 10.0
HOLD_S = 10.0


def load_cases(folder: Path) -> list[Case]:
    """The cases of one operation folder, or of a folder of such folders; a folder's name is its operation.

    Anything but ``*.yaml`` and ``*.yml`` is passed over. ``NotACase`` (a ``ValueError``) names the first file that is not a case.
    """
    folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return [_load(file) for each in folders for file in sorted(each.iterdir()) if file.suffix in (".yaml", ".yml")]


def _load(file: Path) -> Case:
    try:
        case = parse(file.parent.name, file.stem, yaml.safe_load(file.read_text("utf-8")))
        if not INCIDENTS.keys() >= set(case.before):
            raise NotACase("before: an unknown incident")
        return case
    except yaml.YAMLError:
        raise NotACase(f"{file}: not a YAML document") from None
    except ValueError as error:
        raise NotACase(f"{file}: {error}") from None


@dataclass(frozen=True, slots=True)
class Incident:
    """What happens to one call in place of its answer; ``status`` 0 lets the case answer after the delay.

    ``hold`` keeps the call in progress until the event is set (10 s at most); ``drop`` cuts the connection
    within the body.
    """

    status: int = 0
    body: bytes = b""
    media_type: str = MEDIA_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hold: threading.Event | None = None
    drop: bool = False


def refused(refusal: Refusal, delay_s: float = 0.0, headers: Mapping[str, str] | None = None) -> Incident:
    """An error of the contract, maybe late, maybe with headers such as ``Retry-After``."""
    return Incident(refusal.status, refusal.body, headers=headers or {}, delay_s=delay_s)


CONFLICT = refused(rules.CONFLICT)
TOO_MANY = refused(rules.TOO_MANY, headers={"retry-after": "1"})
TIMED_OUT = refused(rules.TIMED_OUT)
DROPPED = Incident(drop=True)
GARBAGE = Incident(200, b'{"data": {"quotient_familial": ')
HTML = Incident(200, b"<!doctype html><title>Maintenance</title>", "text/html")
INCIDENTS = {
    "409": CONFLICT,
    "429": TOO_MANY,
    "504": TIMED_OUT,
    "coupure": DROPPED,
    "illisible": GARBAGE,
    "html": HTML,
}
"""The words a case may list under ``before``."""


@dataclass(frozen=True, slots=True)
class Call:
    """One line of the sandbox's log: ``query`` is keyed by a secret of this run, so it names nobody."""

    operation: str
    query: str
    recipient: str
    status: int


def _id(case: Case) -> tuple[str, str]:
    return case.operation, case.name


class Control:
    """What a test may set while the server runs. ``hidden``: root keys removed, as for a token of fewer scopes."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.calls: list[Call] = []
        self.in_progress: set[str] = set()
        self.hidden: frozenset[str] = frozenset()
        self._next: deque[Incident] = deque()
        self._of_case = {_id(case): deque(INCIDENTS[word] for word in case.before) for case in cases}

    def script(self, *incidents: Incident, case: Case | None = None) -> None:
        """Queue incidents for the next calls: those one case would answer, or whatever comes."""
        (self._next if case is None else self._of_case[_id(case)]).extend(incidents)

    def incident(self, case: Case | None) -> Incident | None:
        """The incident of this call, taken from its queue."""
        for queue in (self._of_case[_id(case)] if case else None, self._next):
            if queue:
                return queue.popleft()
        return None


class Sandbox:
    """The server: ``with Sandbox(cases) as api: ... api.url`` runs it in a thread; ``serve`` runs it here.

    ``port`` is free when not given; any Bearer is accepted when ``token`` is not given; ``rate_per_s`` 0 is no limit.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        port: int | None = None,
        token: str | None = None,
        rate_per_s: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.control = Control(cases)
        self._cases = {name: [case for case in cases if case.operation == name] for name in ROUTES}
        self._port, self._token, self._rate_per_s = port or 0, token, rate_per_s
        self._clock = clock or SystemClock()
        self._key = secrets.token_bytes(32)
        self._issued: set[str] = set()
        self._windows: dict[str, Window] = {}
        self._cached_until_s: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, once open."""
        return f"http://127.0.0.1:{self._port}"

    def _open(self) -> socket.socket:
        # named TCP, or asyncio leaves Nagle's delay on: 40 ms between an answer's head and its body
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(128)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="warning",
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        return listener

    def __enter__(self) -> Self:
        listener = self._open()
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_S
        while not self._server.started:
            if time.monotonic() > deadline:
                raise TimeoutError("the sandbox did not start")
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.should_exit = True
        if self._thread:
            self._thread.join(START_S)

    def serve(self, announce: Callable[[str], None] = lambda _: None) -> None:
        """Serve until SIGTERM or SIGINT, from the main thread; ``announce`` is given the URL once it listens."""
        listener = self._open()
        # uvicorn raises the signal again after its clean stop: it must find a handler that returns. One that comes before uvicorn hears it counts.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: setattr(self._server, "should_exit", True))
        announce(self.url)
        self._server.run(sockets=[listener])

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, path = Request(scope, receive), scope["path"]
        if (request.method, path) == ("POST", dgfip.TOKEN_PATH):
            return await self._issue(request)(scope, receive, send)
        operation, filled = _route(path)
        if not operation or request.method != "GET":
            return await PlainTextResponse("Not Found", 404)(scope, receive, send)
        query = [*filled.items(), *request.query_params.multi_items()]
        key = self._hash(operation, request)
        response = await self._admit(operation, query, key, request)
        self.control.calls.append(
            Call(operation, key, request.query_params.get("recipient", ""), response.status_code if response else 0)
        )
        if response is None:
            return await _cut(send)
        return await response(scope, receive, send)

    def _hash(self, operation: str, request: Request) -> str:
        text = json.dumps([operation, request.scope["path"], request.query_params.multi_items(), _bearer(request)])
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    async def _admit(self, operation: str, query: list[tuple[str, str]], key: str, request: Request) -> Response | None:
        """Token, then rate, then lock, in the State's order; ``None`` is a connection to cut."""
        token = _bearer(request)
        if dgfip.is_gateway(request.scope["path"]):
            fault = dgfip.check_headers(request.scope["path"], request.headers, MEDIA_TYPES[operation])
            if refusal := dgfip.NO_TOKEN if token not in self._issued else fault:
                return _refuse(refusal)
        elif not token or (self._token is not None and not hmac.compare_digest(token.encode(), self._token.encode())):
            return _refuse(rules.NO_TOKEN)
        limits = self._limits(token)
        if "retry-after" in limits:
            return _refuse(rules.TOO_MANY, limits)
        if key in self.control.in_progress:
            return _refuse(rules.CONFLICT, limits)
        self.control.in_progress.add(key)
        try:
            response = await self._answer(operation, query, limits)
        finally:
            self.control.in_progress.discard(key)
        return response and self._cached(key, request, response)

    def _issue(self, request: Request) -> Response:
        """An access token of the DGFiP's gateway (RFC 6749 §4.4), for whoever has the sandbox's own as secret."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            _, _, secret = base64.b64decode(given, validate=True).partition(b":")
        except ValueError:
            secret = b""
        good = secret if self._token is None else hmac.compare_digest(secret, self._token.encode())
        if kind.lower() != "basic" or not good:
            return JSONResponse({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(24)
        self._issued.add(token)
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_S, "scope": dgfip.SCOPES}
        )

    def _limits(self, token: str) -> dict[str, str]:
        if not self._rate_per_s:
            return {}
        window = self._windows.get(token, Window()).after(self._clock.now_ms() // 1000)
        self._windows[token] = window
        return window.headers(self._rate_per_s)

    def _cached(self, key: str, request: Request, response: Response) -> Response:
        """Say whether the answer is a cached one: the State keeps it 24 h, ``no-cache`` passes over it."""
        now_s, until_s = self._clock.monotonic_ms() // 1000, self._cached_until_s.get(key, 0)
        hit = now_s < until_s and request.headers.get("cache-control") != "no-cache"
        if response.status_code == 200 and not hit:
            self._cached_until_s[key] = now_s + CACHE_S
        response.headers["x-response-cached"] = "true" if hit else "false"
        response.headers["x-cache-expires-in"] = str(until_s - now_s) if hit else ""
        return response

    async def _answer(self, operation: str, query: list[tuple[str, str]], headers: dict[str, str]) -> Response | None:
        refusal = _fault(ROUTES[operation], dict(query))
        if refusal:
            return _refuse(refusal, headers)
        case = best(self._cases[operation], operation, normalise(query))
        incident = self.control.incident(case)
        if incident:
            await _wait(incident)
            if incident.drop:
                return None
            if incident.status:
                more = {**headers, **incident.headers}
                return Response(incident.body, incident.status, more, incident.media_type)
        if case:
            extra = {"retry-after": "1"} if case.status == 429 else {}
            media_type = MEDIA_TYPES.get(operation, MEDIA_TYPE)
            return Response(_visible(case, self.control.hidden), case.status, headers | extra, media_type)
        return _refuse(self._unmet(ROUTES[operation], query), headers)

    def _unmet(self, route: str, query: list[tuple[str, str]]) -> Refusal | dgfip.Refusal:
        """What the State says where no case answers: a fault of the query, or nobody there."""
        if dgfip.is_gateway(route):
            return dgfip.unmet(route, dict(query))
        today, values = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).date(), dict(query)
        fault = rules.check_identity(query, today) if "/dss/" in route else None
        if PLACEHOLDER.search(route):
            fault = rules.check_company(values)
        return fault or rules.not_found(route)


def _route(path: str) -> tuple[str, dict[str, str]]:
    """The operation served at a path, and what fills its placeholders; empty where there is none."""
    if path in _PLAIN:
        return _PLAIN[path], {}
    found = ((name, pattern.fullmatch(path)) for name, pattern in _FILLED.items())
    return next(((name, match.groupdict()) for name, match in found if match), ("", {}))


def _fault(route: str, values: Mapping[str, str]) -> Refusal | None:
    """What the whole API asks of a call beside its token: API Particulier, and API Entreprise for a company."""
    if dgfip.is_gateway(route):
        return None
    company = bool(PLACEHOLDER.search(route))
    return rules.check_recipient(values.get("recipient", "")) or (rules.check_request(values) if company else None)


def somebody_else(case: Case) -> Incident:
    """The answer of another case: the State takes one person for another."""
    return Incident(case.status, case.payload)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _refuse(refusal: Refusal | dgfip.Refusal, headers: Mapping[str, str] | None = None) -> Response:
    kind = "application/json" if isinstance(refusal, dgfip.Refusal) else MEDIA_TYPE
    return Response(refusal.body, refusal.status, headers, kind)


def _visible(case: Case, hidden: frozenset[str]) -> bytes:
    if not hidden or case.status != 200:
        return case.payload
    answer = json.loads(case.payload)
    if "data" in answer:
        answer["data"] = {root: value for root, value in answer["data"].items() if root not in hidden}
    else:
        answer = {root: value for root, value in answer.items() if root not in hidden}
    return json.dumps(answer, ensure_ascii=False).encode()


async def _wait(incident: Incident) -> None:
    await asyncio.sleep(incident.delay_s)
    if incident.hold:
        await asyncio.to_thread(incident.hold.wait, HOLD_S)


async def _cut(send: Send) -> None:
    """Begin an answer and leave it unfinished: uvicorn then closes the connection."""
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"4096")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"data":', "more_body": True})
