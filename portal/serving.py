"""Serving an application over HTTP/1.1 on a socket, until SIGTERM: in clear on this machine, or by TLS 1.3."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from consent.keys import BadKeyFile, files
from exchange.core.urls import LOOPBACK
from exchange.settings import Settings
from portal.web.connection import PATIENCE, Connection, Patience

HOST = "127.0.0.1"
BACKLOG = 2_048
"""Connections made and not taken yet; so many are taken at one go, in a tenth of a second. With fewer, a burst makes others wait a second for another try."""
IDLE_S = 5
"""How long a connection may keep still between two requests."""
HANDSHAKE_S, FAREWELL_S = 10.0, 5.0
"""For the handshake of TLS, and for its end."""
GRACE_S = 5
"""What is under way when the server is told to stop has so long."""
OPEN_FILES = 65_536
"""Wanted of the system: more than the connections that `Patience` lets stand, with those under way to it."""


def listening(port: int, host: str = HOST) -> socket.socket:
    """A socket that listens on this port, or on any free one where it is 0 or taken."""
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError:
        return socket.create_server((host, 0), backlog=BACKLOG)


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """What the settings of the portal say of TLS; None for none. BadKeyFile where they do not go together, or where the portal would be
    served in clear beyond this machine."""
    certificate, key, authority = (
        settings.portal_tls_cert_file,
        settings.portal_tls_key_file,
        settings.portal_client_ca_file,
    )
    if certificate and key:
        return tls(certificate, key, authority)
    if certificate or key or authority or settings.portal_host not in LOOPBACK:
        raise BadKeyFile("ACCORD_PORTAL_TLS_CERT_FILE, ACCORD_PORTAL_TLS_KEY_FILE: absent")
    return None


def tls(certificate: Path, key: Path, authority: Path | None = None) -> ssl.SSLContext:
    """TLS 1.3 with this certificate (PEM, the chain in one file); with an `authority` (PEM) a client may show a certificate, which must
    then be one of its, in force and for this use. No session is taken up again: each connection is proven anew. BadKeyFile."""
    files.read(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.num_tickets = ssl.TLSVersion.TLSv1_3, 0
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")  # or it would be asked for on the terminal
        if authority is not None:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_OPTIONAL
    except OSError:
        raise BadKeyFile(", ".join(path.name for path in (certificate, key, authority) if path)) from None
    return context


def more_open_files() -> int:
    """How many files this process may have open from now on: as many as are wanted, or as the system gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], None],
    *,
    tls: ssl.SSLContext | None = None,
    stopping: Callable[[], None] = lambda: None,
    patience: Patience = PATIENCE,
) -> None:
    """Serve an application on a socket that listens, until SIGTERM or Ctrl-C; `stopping` is called then, before anything else ends.
    No access log: an address may name a person's agreement. Nor one of bad requests: whoever makes them would write it."""
    connections = min(patience.connections, more_open_files() // 2)
    await Server(app, listener, ready, tls, stopping, patience._replace(connections=connections)).serve()


class Server(uvicorn.Server):
    """Says when it serves; hears SIGTERM and Ctrl-C itself. Without uvicorn's `limit_concurrency`: it counts the connections that only
    wait, and would answer 503 to everybody while somebody holds them open; `Patience` ends those instead."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        ready: Callable[[], None] = lambda: None,
        tls: ssl.SSLContext | None = None,
        stopping: Callable[[], None] = lambda: None,
        patience: Patience = PATIENCE,
        lifespan: bool = True,
    ) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            log_level="error",
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="auto" if lifespan else "off",
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=16_384,
        )
        super().__init__(config)
        self._listener, self._ready, self._tls, self._stopping = listener, ready, tls, stopping
        self._waiting, self._patience = dict[Connection, None](), patience

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # it would give TLS a minute, and no protocol of ours
        by_tls = self._tls is not None
        self.servers.append(
            await asyncio.get_running_loop().create_server(
                self._connection,
                sock=self._listener,
                backlog=BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if by_tls else None,
                ssl_shutdown_timeout=FAREWELL_S if by_tls else None,
            )
        )
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown([self._listener])

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state, self._waiting, self._patience)
