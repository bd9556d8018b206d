"""Small schemas, and the changes one may make to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIELD = {"name": "a", "type": "int", "doc": "A number."}


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A record of the bus that keeps every rule."""
    told = {"type": "record", "name": "Thing", "namespace": "fr.accord", "doc": "A thing.", **more}
    return told | {"fields": list(fields) or [FIELD]}


def field(of: Any, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": of, "doc": "A field.", **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Kind", "symbols": list(symbols), "doc": "A kind.", **more}


def folder(at: Path, schemas: dict[str, Any], registry: str = "{}") -> Path:
    """A folder of schemas by stem; a value that is a string is the text itself."""
    (at / "avro").mkdir(parents=True, exist_ok=True)
    for stem, schema in schemas.items():
        text = schema if isinstance(schema, str) else json.dumps(schema)
        (at / "avro" / f"{stem}.avsc").write_text(text, "utf-8")
    (at / "registry.json").write_text(registry, "utf-8")
    return at
