"""Writes the pages that follow from code: `docs/errors.md` from the error catalogues, `docs/authorisation.md` from the table of
an authorisation's life, `docs/accessibility.md` from the RGAA grid, and `docs/reference/` from the catalogue of schemas: a page per data set, their index, AsyncAPI, OpenAPI.

    uv run python docs/generate.py            write them
    uv run python docs/generate.py --check    exit 5 if one is not up to date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from consent.core.facts import Outcome, RequestKey, State
from consent.core.rules import CLOSED, REFUSAL, TABLE, Cell, Happening, Keys
from exchange import outcomes
from exchange.core.errors import CATALOGUE, Code
from exchange.core.schema_rules import RULES
from exchange.core.schema_tree import NAMED, Field, Type, optional, short, tree
from exchange.data_sets import DATA_SETS
from exchange.embedded import errors as embedded
from exchange.reference import asyncapi, vectors
from exchange.schemas import catalogue
from portal.api.app import application, described

FOLDER = Path(__file__).parent
GRID = FOLDER / "rgaa.yaml"
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


PREVIEWED = "oui : rien n'est transmis avant que la personne l'ait laissé faire · *yes: nothing is handed over before the person lets it*"


def data_set_page(name: str) -> str:
    """A data set's dictionary: who answers, what opens what, and each field with its type and meaning."""
    data_set, codec = DATA_SETS[name], catalogue().codec_of_data_set(name)
    rows = (
        (f"`{where}`", _type(field.type), f"`{field.scope}`" if field.scope else "", _plain(field.doc))
        for where, field in _fields(tree(codec.schema), "")
    )
    facts = (
        ("Fournisseur · Provider", f"`{data_set.provider}`"),
        ("Périmètres · Scopes", _codes(data_set.scopes)),
        ("Paramètres · Parameters", _codes(data_set.parameters) or "aucun · none"),
        ("Aperçu · Preview", PREVIEWED if data_set.preview else "non · no"),
        ("Schéma · Schema", f"`schemas/avro/{name}.avsc`, SHA-256 `{codec.sha256}`"),
    )
    return _page(
        name,
        f"schemas/avro/{name}.avsc",
        _plain(str(codec.schema["doc"])),
        _table(("", ""), facts),
        "## Champs · Fields",
        "`?` : peut manquer ; un champ que l'accord n'ouvre pas manque. *May be absent; a field the agreement does not open is absent.*",
        _table(("Champ · Field", "Type", "Périmètre · Scope", "Sens · Meaning"), rows),
    )


def index_page() -> str:
    """Every data set, every message of the bus, and every rule of the schemas."""
    schemas = catalogue()
    sets = (
        (f"[{name}]({name}.md)", f"`{data_set.provider}`", _plain(str(schemas.codec_of_data_set(name).schema["doc"])))
        for name, data_set in sorted(DATA_SETS.items())
    )
    messages = (
        (str(line.id), f"`{name}`", _plain(str(schemas.codecs[name].schema["doc"])))
        for name, line in sorted(schemas.registry.items())
        if "." not in name.subject
    )
    rules = (
        (f"`{rule}`", f"{e.cause.fr} · *{e.cause.en}*", f"{e.todo.fr} · *{e.todo.en}*", "!" if e.warning else "✗")
        for rule, e in RULES.items()
    )
    return _page(
        "Le dictionnaire · The data dictionary",
        "schemas/",
        "Pour les programmes · *for programs*: [asyncapi.yaml](asyncapi.yaml), [openapi.yaml](openapi.yaml).",
        "## Jeux de données · Data sets",
        _table(("Jeu · Data set", "Fournisseur · Provider", "Ce que c'est · What it is"), sets),
        "## Messages du bus · Messages of the bus",
        _table(("Numéro · Id", "Schéma · Schema", "Ce que c'est · What it is"), messages),
        "## Les règles d'un schéma · The rules of a schema",
        "`accord schemas check` les vérifie ; `!` prévient, `✗` refuse. *It checks them; `!` warns, `✗` refuses.*",
        _table(("Règle · Rule", "Cause", "Que faire · What to do", ""), rules),
    )


def asyncapi_page() -> str:
    """Topics, messages and headers, for programs."""
    return _yaml(asyncapi.document(catalogue(), DATA_SETS))


def openapi_page() -> str:
    """Data sets and errors, for programs."""
    return _yaml(described(application()))


PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "authorisation.md": authorisation_page,
    "reference/README.md": index_page,
    "reference/asyncapi.yaml": asyncapi_page,
    "accessibility.md": lambda: accessibility_page(),
    "reference/openapi.yaml": openapi_page,
    "reference/vectors.json": lambda: json.dumps(vectors.document(), indent=1, ensure_ascii=False) + "\n",
    **{f"reference/{name}.md": partial(data_set_page, name) for name in DATA_SETS},
}
"""Every page by its name below `docs/`; `docs/reference/` holds no other."""


def accessibility_page() -> str:
    """The RGAA grid of `docs/rgaa.yaml`, and how far it goes."""
    grid = yaml.safe_load(GRID.read_text("utf-8"))
    words = {"test": "test", "manual": "vue · seen", "absent": "sans objet · none", "open": "**pas encore · not yet**"}
    rows = [(theme["theme"], each) for theme in grid["themes"] for each in theme["criteria"]]
    counts = {kind: sum(each["shown"] == kind for _, each in rows) for kind in words}
    lines = [
        "# Accessibilité · Accessibility",
        "",
        "Page écrite par `docs/generate.py` d'après `docs/rgaa.yaml` : ne pas la modifier. *Written by that script: do not edit.*",
        "",
        f"Où en sont nos pages ({', '.join(grid['spaces'])}) au regard des {len(rows)} critères du RGAA 4.1.2 : {counts['test']} tenus par un test, "
        f"{counts['manual']} vus à la main à la date dite, {counts['absent']} sans objet ici, {counts['open']} pas encore montrés. Ce n'est pas une",
        "déclaration de conformité : elle demande un audit, et l'essai par des personnes qui se servent de lecteurs d'écran.",
        f"*How our pages stand against the {len(rows)} criteria of RGAA 4.1.2 (WCAG 2.1 AA): {counts['test']} held by a test, {counts['manual']} looked at by",
        f"hand, {counts['absent']} that do not apply, {counts['open']} not shown yet. No declaration of conformity: that needs an audit, with people who use screen readers.*",
        "",
        "Chaque page montrée par un test de navigateur passe axe-core sans défaut (WCAG 2.2 AA), en clair et en sombre, et tient à 320 px de large.",
        "*Every page a browser test shows passes axe-core without a violation, in light and in dark, and fits 320 px.*",
    ]
    for theme in grid["themes"]:
        lines += [
            "",
            f"## {theme['theme']}",
            "",
            "| | Critère · Criterion | Montré · Shown | Comment · How |",
            "| --- | --- | --- | --- |",
        ]
        for each in theme["criteria"]:
            where = f"`{each['by']}` : " if "by" in each else f"{each['day']} : " if "day" in each else ""
            lines.append(f"| {each['id']} | {each['subject']} | {words[each['shown']]} | {where}{each['how']} |")
    return "\n".join(lines) + "\n"


def _fields(of: Type, where: str) -> Iterator[tuple[str, Field]]:
    """Every field of a data set, by its path."""
    for field in of.fields:
        at = f"{where}.{field.name}" if where else field.name
        yield at, field
        inner, path = field.type, at
        while inner.kind in ("union", "array", "map"):
            path += {"array": "[]", "map": "{}"}.get(inner.kind, "")
            inner = optional(inner) or inner.branches[-1]
        yield from _fields(inner, path)


def _type(of: Type) -> str:
    if inner := optional(of):
        return f"{_type(inner)} ?"
    if of.kind == "union":
        return " ou · or ".join(map(_type, of.branches))
    if of.kind in ("array", "map"):
        return f"{_type(of.branches[0])} {'[]' if of.kind == 'array' else '{}'}"
    if of.kind == "enum":
        return _codes(of.symbols)
    return short(of.name) if of.kind in NAMED else of.kind


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def _plain(text: str) -> str:
    """A doc as Markdown that means itself."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


class _Whole(yaml.SafeDumper):
    """Each value in full: an alias is no reading for a person."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(document: Mapping[str, Any]) -> str:
    made = "# Écrit par docs/generate.py : ne pas modifier. / Written by docs/generate.py: do not edit.\n"
    return made + yaml.dump(document, Dumper=_Whole, sort_keys=False, allow_unicode=True, width=120)


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


def _extra() -> list[Path]:
    """Pages of data sets that are no more."""
    return [path for path in (FOLDER / "reference").glob("*") if f"reference/{path.name}" not in PAGES]


def main(arguments: list[str]) -> int:
    """Write the pages that are not up to date, or say which: 0, 2 usage, 5 stale."""
    stale = [path.relative_to(FOLDER).as_posix() for path in _extra()] + [
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
    (FOLDER / "reference").mkdir(exist_ok=True)
    for path in _extra():
        path.unlink()
    for name in stale:
        if name in PAGES:
            (FOLDER / name).write_text(PAGES[name](), "utf-8")
    print(f"{len(PAGES)} pages, {len(stale)} écrites / written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
