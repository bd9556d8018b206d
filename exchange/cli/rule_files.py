"""Rules as commands read them: a file, signed or not, or the name of a shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from exchange import rules
from exchange.cli import show
from exchange.core.errors import Code
from exchange.places import Places
from exchange.rules import BadRule, Rule
from exchange.trust import Trust

Signed = Annotated[
    Path | None,
    typer.Option(
        "--rule",
        help="Règle signée : sa réponse au lieu de la donnée. / Signed rule: its answer, not the data.",
        exists=True,
        dir_okay=False,
    ),
]


def read_text(file: str, as_json: bool) -> str:
    """The text of a file, or of a shipped rule where there is no such file."""
    path = Path(file)
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        if (text := rules.shipped().get(file)) is not None:
            return text
        raise typer.BadParameter(file, param_hint="FILE") from None
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None
    except UnicodeDecodeError:
        invalid(BadRule("not text"), as_json)


def is_signed(text: str) -> bool:
    """Whether it has a signature, of whomever."""
    return "\n\n— " in text


def checked(text: str, places: Places, as_json: bool) -> Rule:
    """The rule of a text; where it is signed, the registrar that this bus trusts must have."""
    try:
        if not is_signed(text):
            return rules.read(text)
        if not places.trust.exists():
            show.fail(Code.NO_LEDGER, str(places.trust), show.UNAVAILABLE, as_json=as_json)
        return rules.open_signed(text.encode(), Trust.load(places.trust).rules)
    except BadRule as bad:
        invalid(bad, as_json)


def read_signed(path: Path | None, places: Places, as_json: bool) -> tuple[bytes, Rule | None]:
    """The signed rule of an option and what it says, verified; nothing without one."""
    if path is None:
        return b"", None
    text = read_text(str(path), as_json)
    if not is_signed(text):
        invalid(BadRule("not signed"), as_json)
    return text.encode(), checked(text, places, as_json)


def invalid(bad: BadRule, as_json: bool) -> NoReturn:
    """Say which part, and leave."""
    show.fail(Code.RULE_INVALID, str(bad), show.REFUSED, as_json=as_json)
