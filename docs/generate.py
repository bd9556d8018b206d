"""Writes the pages that follow from code: `docs/errors.md` from the error catalogues, `docs/authorisation.md` from the table of
an authorisation's life.

    uv run python docs/generate.py            write them
    uv run python docs/generate.py --check    exit 5 if one is not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from consent.core.facts import Outcome, RequestKey, State
from consent.core.rules import CLOSED, REFUSAL, TABLE, Cell, Happening, Keys
from exchange import outcomes
from exchange.core.errors import CATALOGUE, Code
from exchange.embedded import errors as embedded

FOLDER = Path(__file__).parent
_WHO = {
    "caller": "l'appelant · the caller",
    "citizen": "le citoyen · the citizen",
    "provider": "le fournisseur · the provider",
    "bus": "l'exploitant · the operator of the bus",
}
_KEYS = {
    Keys.NONE: "",
    Keys.MINT: "clé créée · key made",
    Keys.REPLACE: "clé remplacée · key replaced",
    Keys.RETIRE: "clé en sursis · key retired",
    Keys.DESTROY: "clés détruites · keys destroyed",
    Keys.DESTROY_ALL: "toutes clés détruites · all keys destroyed",
}


def errors_page() -> str:
    """Every code of every catalogue, in its order: French first, English second."""
    rows = (
        (
            f"`{code}`",
            _WHO[e.origin],
            "oui · yes" if e.retry else "non · no",
            f"{e.cause_fr} · *{e.cause_en}*",
            f"{e.todo_fr} · *{e.todo_en}*",
            _python(code),
        )
        for code, e in CATALOGUE.items()
    )
    broker = (
        (f"`{code}`", f"{entry.cause.fr} · *{entry.cause.en}*", f"{entry.todo.fr} · *{entry.todo.en}*")
        for code, entry in embedded.CATALOGUE.items()
    )
    return _page(
        "Les codes d'erreur · Error codes",
        "exchange/core/errors.py",
        "Un code ne change plus de sens et ne dit rien de personne. *A code keeps its meaning and says nothing of anybody.*",
        "## Une demande · A request",
        "« Réessayer » : la même demande peut-elle aboutir plus tard ? *“Retry”: may the same request succeed later?*",
        _table(("Code", "Qui agit · Who acts", "Réessayer · Retry", "Cause", "Que faire · What to do", "Python"), rows),
        "## Le Kafka embarqué · The embedded Kafka",
        "Entre accolades, ce que le message nomme. *In braces, what the message names.*",
        _table(("Code", "Cause", "Que faire · What to do"), broker),
    )


def authorisation_page() -> str:
    """The table as a drawing, then as a table; nothing changes a state that is not in it."""
    return _page(
        "La vie d'une autorisation · The life of an authorisation",
        "consent/core/rules.py",
        "Tout changement d'état est une case de cette table ; un événement sans case ne change rien. "
        "*Every change of state is a cell of this table; an event without a cell changes nothing.*",
        "```mermaid\n" + "\n".join(_drawing()) + "\n```",
        _table(("État · State", "Événement · Event", "Devient · Becomes", "Clés · Keys"), _cells()),
        "## Demander dans cet état · Asking in this state",
        _table(("État · State", "Refus · Refusal", "Retiré deux fois · Withdrawn twice"), _asking()),
    )


PAGES: dict[str, Callable[[], str]] = {"errors.md": errors_page, "authorisation.md": authorisation_page}


def _python(code: Code) -> str:
    """The exception of `exchange.outcomes` that an outcome with this reason becomes, where it has one of its own."""
    told = Outcome(RequestKey("", b"", b""), b"", "refused", "none", code, "", 0, 0)
    kind = type(outcomes.error(told)).__name__
    return "" if kind == "ExchangeError" else f"`{kind}`"


def _drawing() -> Iterable[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {State.REQUESTED}"
    for state, happening, cell in _all_cells():
        yield f"    {state} --> {cell.state} : {happening}"
    yield f"    {State.ERASED} --> [*]"


def _cells() -> Iterable[Sequence[str]]:
    return (
        (f"`{state}`", f"`{happening}`", f"`{cell.state}`", _KEYS[cell.keys]) for state, happening, cell in _all_cells()
    )


def _all_cells() -> Iterable[tuple[State, Happening, Cell]]:
    return ((state, happening, cell) for state, row in TABLE.items() for happening, cell in row.items())


def _asking() -> Iterable[Sequence[str]]:
    for state in State:
        same = "même accusé · same acknowledgement" if state in CLOSED else ""
        yield f"`{state}`", f"`{REFUSAL[state]}`" if state in REFUSAL else "", same


def _page(title: str, source: str, *parts: str) -> str:
    made = f"Page écrite par `docs/generate.py` d'après `{source}` : ne pas la modifier. *Written by that script: do not edit.*"
    return "\n\n".join((f"# {title}", made, *parts)) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main(arguments: list[str]) -> int:
    stale = [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text("utf-8") != page()
    ]
    if arguments == ["--check"]:
        print(f"à refaire / stale: {', '.join(stale)}" if stale else "à jour / up to date")
        return 5 if stale else 0
    if arguments:
        print("usage: python docs/generate.py [--check]", file=sys.stderr)
        return 2
    for name in stale:
        (FOLDER / name).write_text(PAGES[name](), "utf-8")
    print(f"{len(PAGES)} pages, {len(stale)} écrites / written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
