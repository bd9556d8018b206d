"""What a person or a program sees of a command: language, errors as what / why / do this, exit codes, JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console

from consent.keys import BadKeyFile
from exchange.core.cog import BadReferential
from exchange.core.errors import CATALOGUE, Code
from exchange.core.identity import BadIdentity
from exchange.embedded.errors import EmbeddedError
from exchange.locks import InUse
from exchange.outcomes import AwaitsPerson, BusUnavailable, ExchangeError
from exchange.places import Places, RoleFailed
from exchange.ports import BadStore, Recovering, Refused, Unavailable

T = TypeVar("T")
OK, USAGE, REFUSED, UNAVAILABLE, CORRUPTED = 0, 2, 3, 4, 5
_CORRUPTED = {BadStore: Code.BAD_STORE, BadKeyFile: Code.BAD_KEY_FILE, BadReferential: Code.BAD_REFERENTIAL}
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def language() -> str:
    """`en` where the locale says English, else `fr`: people here read French first."""
    named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "en" if named.lower().startswith("en") else "fr"


def tr(fr: str, en: str) -> str:
    return en if language() == "en" else fr


def line(**facts: Any) -> None:
    """One JSON object on one line."""
    print(json.dumps(facts, ensure_ascii=False, default=_plain), flush=True)


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def fail(code: Code, detail: str, exit_code: int, *, as_json: bool) -> NoReturn:
    """Say what happened and what to do, and leave. `detail` names a place or a field, never a value."""
    entry = CATALOGUE[code]
    tell(
        code.value, " : ".join(filter(None, (entry.cause(language()), detail))), entry.todo(language()), as_json=as_json
    )
    raise typer.Exit(exit_code)


def tell(code: str, cause: str, todo: str, *, as_json: bool) -> None:
    """What / why / do this."""
    if as_json:
        line(error=code, cause=cause, todo=todo)
    else:
        errors.print(f"[bold red]{code}[/]  {cause}\n  → {todo}", soft_wrap=True)


def announcer(places: Places, name: str, as_json: bool) -> Callable[[], None]:
    """What a process calls once it works: a file for who started it, a line for who reads it."""

    def ready() -> None:
        places.announce(places.ready(name), pid=os.getpid())
        if as_json:
            line(ready=name)

    return ready


def serving(places: Places, name: str, as_json: bool, fr: str, en: str, **facts: str) -> Callable[[str], None]:
    """What a server calls once it listens, with its URL: as `announcer`, and a line that says what it is; `facts` are told along."""

    def ready(url: str) -> None:
        places.announce(places.ready(name), url=url, pid=os.getpid())
        if as_json:
            line(url=url, **facts)
        else:
            console.print(tr(f"{fr} : {url} (Ctrl-C pour arrêter)", f"{en}: {url} (Ctrl-C stops)"))

    return ready


def run(work: Coroutine[Any, Any, T], *, as_json: bool = False) -> T:
    """Run a command; every error it may meet becomes one clear message and its exit code."""
    with explained(as_json=as_json):
        return asyncio.run(work)


@contextmanager
def explained(*, as_json: bool = False) -> Iterator[None]:
    """One clear message in place of a stack trace."""
    try:
        yield
    except (Refused, ExchangeError) as error:
        fail(
            error.code,
            "",
            UNAVAILABLE if isinstance(error, BusUnavailable | AwaitsPerson) else REFUSED,
            as_json=as_json,
        )
    except EmbeddedError as error:
        tell(error.code, tr(error.cause.fr, error.cause.en), tr(error.todo.fr, error.todo.en), as_json=as_json)
        raise typer.Exit(UNAVAILABLE) from None
    except (BadStore, BadKeyFile, BadReferential) as error:
        fail(_CORRUPTED[type(error)], str(error), CORRUPTED, as_json=as_json)
    except Recovering as error:
        done = tr("retrait enregistré, déjà effectif", "withdrawal recorded, binding already") if error.recorded else ""
        fail(Code.RECOVERING, done, UNAVAILABLE, as_json=as_json)
    except Unavailable:
        fail(Code.UNAVAILABLE, "", UNAVAILABLE, as_json=as_json)
    except InUse as error:
        fail(Code.DATA_IN_USE, str(error.folder), UNAVAILABLE, as_json=as_json)
    except RoleFailed as error:
        fail(Code.ROLE_FAILED, f"{error.name}, {error.log}", UNAVAILABLE, as_json=as_json)
    except BadIdentity as error:
        fail(Code.BAD_IDENTITY, str(error), USAGE, as_json=as_json)
    except KeyboardInterrupt:
        sys.stdout.flush()
        raise typer.Exit(130) from None
