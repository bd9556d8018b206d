"""Style sheets and scripts, from `portal/static/`, or a theme's folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from portal.web.pages import STATIC


class Static(StaticFiles):
    """Files asked for under the address that `asset` gives change name with their content: they may be kept for ever."""

    def __init__(self, folder: Path = STATIC) -> None:
        super().__init__(directory=folder)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        lasting = b"v=" in scope.get("query_string", b"")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if lasting else "no-cache"
        return response
