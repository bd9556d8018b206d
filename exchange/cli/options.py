"""Options that commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from exchange.cli import show

Json = Annotated[bool, typer.Option("--json", help="Un objet JSON par ligne. / One JSON object a line.")]
Data = Annotated[Path | None, typer.Option("--data", help="Dossier des données du bus. / Data directory of the bus.")]
Kafka = Annotated[str, typer.Option("--kafka", help="Adresse host:port du broker. / The broker's host:port.")]
Name = Annotated[str, typer.Option("--name", hidden=True)]
Cases = Annotated[
    list[Path] | None,
    typer.Option(
        "--cases", help="Dossier de cas params/status/payload. / Folder of cases.", exists=True, file_okay=False
    ),
]


DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
"""How a moment is written, in UTC."""


def moment_ms(moment: datetime | None) -> int:
    """A moment given in UTC, in ms since 1970; 0 where none is given."""
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000) if moment else 0


def one_of(value: str, known: tuple[str, ...], option: str) -> str:
    """The value, if it is one of those `option` takes."""
    if value not in known:
        raise typer.BadParameter(", ".join(known), param_hint=option)
    return value


def parse_id(text: str) -> bytes:
    """16 bytes in hexadecimal."""
    try:
        value = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        value = b""
    if len(value) != 16:
        raise typer.BadParameter(show.tr("32 chiffres hexadécimaux", "32 hexadecimal digits"))
    return value
