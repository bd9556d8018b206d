"""The façade's process: beside the collectivity's software, with its wallet and its key; on the loopback only."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from exchange.local import client
from exchange.places import Places
from exchange.settings import Settings
from portal.core.facade import BASE
from portal.facade.app import Facade
from portal.serving import HOST, listening, serve


async def run_facade(
    places: Places, settings: Settings, bootstrap: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM; `ready` is given the base URL, to put in the place of the State's, once it answers."""
    token = facade_token(places.facade_token(settings.recipient))
    with closing(listening(port)) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}{BASE}"
        async with client(settings, places, bootstrap) as bus:
            await serve(Facade(bus, token).app(), listener, lambda: ready(url))


def facade_token(path: Path) -> str:
    """What callers send as Bearer: made at the first start, in a file that is its owner's alone."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="ascii")
    return path.read_text(encoding="ascii").strip()
