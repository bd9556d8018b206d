"""`/v1/ledger`: the public log as its static files (C2SP tlog-tiles), for any monitor; no token is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from consent.public_log import FOLDER
from consent.publish import CHECKPOINT
from exchange.core.errors import Code
from exchange.ports import Unavailable
from portal.api.context import Api, ApiDep
from portal.api.strict import StrictRoute
from portal.core.problems import Problem

router = APIRouter(route_class=StrictRoute, tags=["ledger"])
TILE = re.compile(r"([0-5]?\d|6[0-3]|entries)/(x\d{3}/){0,6}\d{3}(\.p/([1-9]\d?|1\d\d|2[0-4]\d|25[0-5]))?", re.ASCII)
_TILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "Le fichier, tel quel · the file as it is."}
}
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}


@router.get("/ledger/checkpoint", operation_id="get_checkpoint", response_class=PlainTextResponse)
async def checkpoint(api: ApiDep) -> Response:
    """La tête signée et cosignée du journal. · The log's signed and cosigned head."""
    return PlainTextResponse(_read(api, CHECKPOINT) or _absent(), headers={"cache-control": "no-cache"})


@router.get("/ledger/tile/{path:path}", operation_id="get_tile", response_class=Response, responses=_TILES)
async def tile(path: str, api: ApiDep) -> Response:
    """Une tuile d'empreintes ou d'entrées, `<L>/<N>[.p/<W>]` ou `entries/<N>[.p/<W>]`. · A tile of hashes or of entries."""
    content = _read(api, f"tile/{path}") if TILE.fullmatch(path) else None
    if content is None:
        raise Problem(Code.NOT_THERE)
    return Response(content, media_type="application/octet-stream", headers=_FOR_EVER)


@router.get("/ledger/entries/{path:path}", operation_id="get_entries", response_class=Response, responses=_TILES)
async def entries(path: str, api: ApiDep) -> Response:
    """Les entrées `<N>[.p/<W>]` : la tuile `entries/…`. · The entries: the tile `entries/…`."""
    return await tile(f"entries/{path}", api)


def _read(api: Api, name: str) -> bytes | None:
    """A file of the log's folder, by a name of ours."""
    try:
        return (Path(api.parts.places.root) / FOLDER / name).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _absent() -> bytes:
    raise Unavailable("nothing is published yet")
