"""A schema registry behind Confluent's API: Confluent's own, Apicurio's (`/apis/ccompat/v7`), Karapace, Redpanda.

What it says is bounded (1 MiB an answer), never followed elsewhere (no redirects) and never believed: schemas are read by our codec.
Source: Confluent Schema Registry API reference; Apicurio Registry 3.3.3, run.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import httpx

LEVEL: Final = "FULL_TRANSITIVE"
_ANSWER_MAX_BYTES: Final = 1 << 20
_CONTENT: Final = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
_REFUSED: Final = (409, 422)
_NOT_FOUND: Final = range(40401, 40500)
"""Confluent's codes behind a 404: a subject, a version or a schema; a path that is no registry has none."""


class RegistryUnavailable(Exception):
    """The registry does not answer, or not as the API says. Holds the status or the kind of failure, never the answer."""


class Remote(NamedTuple):
    """What a registry holds under a subject and version."""

    id: int
    schema: str


class ConfluentRegistry:
    """A client of one registry. Each method makes one call and raises RegistryUnavailable."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        try:
            self._http = httpx.Client(base_url=url, timeout=timeout_s)
        except (httpx.InvalidURL, TypeError) as error:
            raise RegistryUnavailable(type(error).__name__) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._http.close()

    def subjects(self) -> list[str]:
        """Every subject it has, of ours or not."""
        _, body = self._ask("GET", "/subjects")
        return _strings(body)

    def find(self, subject: str, version: int) -> Remote | None:
        """What it has under this name, or None."""
        status, body = self._ask("GET", f"{_path(subject)}/versions/{version}", allowed=(404,))
        return None if status == 404 else Remote(_integer(body, "id"), _string(body, "schema"))

    def schema(self, schema_id: int) -> str | None:
        """The text of the schema that frames with this id were written with, or None."""
        status, body = self._ask("GET", f"/schemas/ids/{schema_id}", allowed=(404,))
        return None if status == 404 else _string(body, "schema")

    def level(self, subject: str) -> str:
        """The compatibility it demands of a subject, its own or that of all."""
        _, body = self._ask("GET", f"/config/{quote(subject, safe='')}", params={"defaultToGlobal": "true"})
        return _string(body, "compatibilityLevel")

    def demand(self, subject: str) -> None:
        """Have it demand FULL_TRANSITIVE of this subject; other people's subjects stay as they are."""
        self._ask("PUT", f"/config/{quote(subject, safe='')}", content={"compatibility": LEVEL})

    def accepts(self, subject: str, schema: str) -> bool:
        """Whether it would take this as the next version of a subject."""
        path = f"/compatibility{_path(subject)}/versions"
        status, body = self._ask("POST", path, content={"schema": schema, "schemaType": "AVRO"}, allowed=(404, 422))
        return status == 404 or (status == 200 and isinstance(body, dict) and body.get("is_compatible") is True)

    def register(self, subject: str, schema: str) -> int | None:
        """The id it gives to the next version of a subject, or None if it refuses the schema."""
        content = {"schema": schema, "schemaType": "AVRO"}
        status, body = self._ask("POST", f"{_path(subject)}/versions", content=content, allowed=_REFUSED)
        return None if status in _REFUSED else _integer(body, "id")

    def _ask(
        self,
        method: str,
        path: str,
        *,
        content: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> tuple[int, object]:
        try:
            sent = json.dumps(content) if content else None
            with self._http.stream(method, path, content=sent, params=params, headers=_CONTENT) as answer:
                if answer.status_code != 200 and answer.status_code not in allowed:
                    raise RegistryUnavailable(f"HTTP {answer.status_code}")
                body = json.loads(_bounded(answer))
                if answer.status_code == 404 and _integer(body, "error_code") not in _NOT_FOUND:
                    raise RegistryUnavailable("HTTP 404")
                return answer.status_code, body
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
            raise RegistryUnavailable(type(error).__name__) from None


def _bounded(answer: httpx.Response) -> bytes:
    data = b""
    for block in answer.iter_bytes(1 << 16):
        data += block
        if len(data) > _ANSWER_MAX_BYTES:
            raise RegistryUnavailable("too_large")
    return data


def _path(subject: str) -> str:
    return f"/subjects/{quote(subject, safe='')}"


def _strings(body: object) -> list[str]:
    if not isinstance(body, list) or not all(isinstance(item, str) for item in body):
        raise RegistryUnavailable("shape")
    return body


def _string(body: object, name: str) -> str:
    if not isinstance(found := _member(body, name), str):
        raise RegistryUnavailable("shape")
    return found


def _integer(body: object, name: str) -> int:
    found = _member(body, name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise RegistryUnavailable("shape")
    return found


def _member(body: object, name: str) -> Any:
    return body.get(name) if isinstance(body, dict) else None
