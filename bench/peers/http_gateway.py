"""A synchronous gateway, as a team would write it: an HTTP call comes in, SQLite says whether the person agreed, the State API is
called, and its answer goes back, with the granted scopes only.

    python -m bench.peers.http_gateway PORT WORKERS STORE STATE_API_URL TOKEN_FILE

FastAPI, its body checked by a model as such a team would have it. One lookup by primary key in a store in WAL; a pool of kept connections to the State; as many processes as cores; no access log. What it does not do: no trace,
no queue, no retry, no sealing: it reads every answer, and a State API that is down is its own outage.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from uvicorn.supervisors import Multiprocess

from exchange.clock import SystemClock

PATH = "/v1/exchanges"
STATE_PATH = "/v3/dss/quotient_familial/identite"
POOL = httpx.Limits(max_connections=100, max_keepalive_connections=100)
_TIMEOUT_S = 10.0
_ROOTS = {
    "cnaf_quotient_familial": "quotient_familial", "cnaf_allocataires": "allocataires", "cnaf_enfants": "enfants", "cnaf_adresse": "adresse",
}  # fmt: skip
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE consent (
    id BLOB PRIMARY KEY, recipient TEXT NOT NULL, data_set TEXT NOT NULL, purpose TEXT NOT NULL, scopes TEXT NOT NULL,
    person BLOB NOT NULL, state TEXT NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE habilitation (
    recipient TEXT, data_set TEXT, purpose TEXT, scopes TEXT NOT NULL, not_after INTEGER NOT NULL,
    PRIMARY KEY (recipient, data_set, purpose)) WITHOUT ROWID;
"""
_CHECK = """
SELECT c.scopes, h.scopes, c.person FROM consent c JOIN habilitation h USING (recipient, data_set, purpose)
WHERE c.id = :id AND c.recipient = :recipient AND c.data_set = :data_set AND c.purpose = :purpose AND c.state = 'live'
    AND c.not_before <= :now AND :now < c.not_after AND :now < h.not_after
"""


class Consent(NamedTuple):
    """One person's agreement; `person` are the State's own query words."""

    id: bytes
    person: Mapping[str, object]


def prepare(
    store: Path,
    recipient: str,
    data_set: str,
    purpose: str,
    scopes: Iterable[str],
    consents: Iterable[Consent],
    until_ms: int,
) -> None:
    """A store with these agreements, for a day the whole habilitation."""
    words = " ".join(scopes)
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.executescript(_SCHEMA)
        connection.execute(
            "INSERT INTO habilitation VALUES (?, ?, ?, ?, ?)", (recipient, data_set, purpose, words, until_ms)
        )
        connection.executemany(
            "INSERT INTO consent VALUES (?, ?, ?, ?, ?, ?, 'live', 0, ?)",
            ((c.id, recipient, data_set, purpose, words, _hashed(c.person), until_ms) for c in consents),
        )


def _hashed(person: Mapping[str, object]) -> bytes:
    return hashlib.sha256(json.dumps(person, sort_keys=True).encode()).digest()


class Asked(BaseModel):
    """The body of a call."""

    consent: str
    recipient: str
    data_set: str
    purpose: str
    scopes: list[str]
    person: dict[str, str | list[str]]
    period: dict[str, str]


class Gateway:
    """One process of it."""

    def __init__(self, store: str, state_url: str, token_file: str) -> None:
        token = Path(token_file).read_text(encoding="ascii").strip()
        self._store = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        self._store.execute("PRAGMA cache_size = -65536")
        self._http = httpx.AsyncClient(
            base_url=state_url, limits=POOL, timeout=_TIMEOUT_S, trust_env=False, headers={"authorization": f"Bearer {token}"}
        )  # fmt: skip
        self._clock = SystemClock()

    async def exchange(self, asked: Asked) -> JSONResponse:
        named = {"recipient": asked.recipient, "data_set": asked.data_set, "purpose": asked.purpose}
        row = self._store.execute(
            _CHECK, named | {"id": bytes.fromhex(asked.consent), "now": self._clock.now_ms()}
        ).fetchone()
        if row is None or not hmac.compare_digest(row[2], _hashed(asked.person)):
            return JSONResponse({"error": "no consent"}, 403)
        granted = set(row[0].split()) & set(row[1].split()) & set(asked.scopes)
        try:
            said = await self._http.get(STATE_PATH, params=asked.person | asked.period | {"recipient": asked.recipient})
        except httpx.HTTPError:
            return JSONResponse({"error": "the State does not answer"}, 503)
        if said.status_code != 200:
            return JSONResponse({"error": "the State refuses"}, 502)
        kept = {_ROOTS[scope] for scope in granted}
        return JSONResponse({"data": {root: value for root, value in said.json()["data"].items() if root in kept}})

    async def close(self) -> None:
        await self._http.aclose()
        self._store.close()


def make() -> FastAPI:
    """The application of one worker process; where everything is, its parent left in the environment."""
    gateway = Gateway(*json.loads(os.environ["ACCORD_BENCH_GATEWAY"]))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.close()

    app = FastAPI(lifespan=lifespan)
    app.post(PATH)(gateway.exchange)
    return app


def main(port: str, workers: str, store: str, state_url: str, token_file: str) -> None:
    os.environ["ACCORD_BENCH_GATEWAY"] = json.dumps([store, state_url, token_file])
    config = uvicorn.Config(
        "bench.peers.http_gateway:make",
        factory=True,
        port=int(port),
        workers=int(workers),
        access_log=False,
        log_level="warning",
    )
    listener = config.bind_socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # uvicorn does not, and its answers would wait 40 ms
    Multiprocess(config, sockets=[listener]).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
