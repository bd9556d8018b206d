"""The witness's edge: what it remembers of each log, in one small file each, and its one HTTP call."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consent.core import note
from consent.core.cosignature import Witness, cosign
from consent.core.note import Verifier
from consent.keys import read_or_make
from consent.witness import rules
from consent.witness.rules import NOTHING, Refusal, Seen
from exchange.bounded import TooLarge, whole

Answer = tuple[int, str]
"""HTTP status, and the body: signature lines, a size, or nothing."""


class Memory:
    """The head last cosigned for each origin, in a directory: written whole or not at all, durable on return."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def recall(self, origin: str) -> Seen:
        """ValueError if what was written cannot be read: a witness that has forgotten must not sign."""
        try:
            body = json.loads(self._path(origin).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return NOTHING
        if not isinstance(body, dict) or body.get("origin") != origin:
            raise ValueError("a memory of another log")
        root = note.decode(body["root"])
        return Seen(note.decimal(str(body["size"])), root)

    def keep(self, origin: str, seen: Seen) -> None:
        path = self._path(origin)
        part = path.with_suffix(".part")
        body = json.dumps({"origin": origin, "size": seen.size, "root": base64.b64encode(seen.root).decode()})
        with part.open("w", encoding="utf-8") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _path(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.json"


class WitnessServer:
    """Cosigns the checkpoints of the logs it knows. One process a directory: its owner holds the lock of `exchange.locks`."""

    def __init__(self, folder: Path, name: str, logs: Sequence[Verifier], now_s: Callable[[], int]) -> None:
        self._key, self._name, self._now_s = open_key(folder), name, now_s
        self._logs = {log.name: [key for key in logs if key.name == log.name] for log in logs}
        self._memory, self._lock = Memory(folder / "seen"), threading.Lock()

    @property
    def witness(self) -> Witness:
        return Witness(self._name, self._key.public_key().public_bytes_raw())

    def add_checkpoint(self, body: bytes) -> Answer:
        """Deciding and remembering are one step, so that no later request rolls an earlier one back."""
        try:
            submission = rules.read(body)
        except rules.BadSubmission:
            return 400, ""
        origin = rules.origin(submission)
        with self._lock:
            known = origin in self._logs
            seen = self._memory.recall(origin) if known else NOTHING
            decision = rules.decide(submission, self._logs, seen)
            if isinstance(decision, Refusal):
                return decision.status, "" if decision.size is None else f"{decision.size}\n"
            if decision.seen != seen:
                self._memory.keep(origin, decision.seen)
        signature = cosign(decision.text, self._name, self._key, self._now_s())
        return 200, note.format_signature(signature) + "\n"

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/add-checkpoint", self._add_checkpoint, methods=["POST"])])

    async def _add_checkpoint(self, request: Request) -> Response:
        try:
            body = await whole(request.stream(), rules.MAX_BYTES)
        except TooLarge:
            return PlainTextResponse("", 400)
        try:
            status, text = self.add_checkpoint(body)
        except (OSError, ValueError, KeyError) as error:
            structlog.get_logger().error("witness_memory", error=type(error).__name__)
            return PlainTextResponse("", 500)
        return Response(
            text, status, {"content-type": rules.SIZE_TYPE if status == 409 else "text/plain; charset=utf-8"}
        )


def open_key(folder: Path) -> Ed25519PrivateKey:
    """The witness's key, made at the first opening, mode 0600."""
    return Ed25519PrivateKey.from_private_bytes(read_or_make(folder / "witness.key"))


async def serve(server: WitnessServer, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT; `ready` is given the URL once it listens. Port 0: any free one."""
    config = uvicorn.Config(server.app(), host=host, port=port, lifespan="off", access_log=False, log_config=None)
    running = uvicorn.Server(config)
    listener = config.bind_socket()
    ready(f"http://{host}:{listener.getsockname()[1]}")
    await running.serve(sockets=[listener])
