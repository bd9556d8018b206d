"""`accord schemas`: the schemas' rules, their versions and their registries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from exchange.cli import show
from exchange.cli.options import Json
from exchange.core.avro import BadSchema, Codec
from exchange.core.schema_evolution import changes
from exchange.core.schema_lint import read
from exchange.core.schema_rules import RULES, Finding, Rule
from exchange.registry import ConfluentRegistry, RegistryUnavailable
from exchange.schema_checks import (
    SHIPPED,
    Folder,
    check_remote,
    lint_folder,
    open_folder,
    register_remote,
    registered,
)
from exchange.schema_checks import check as check_folder

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Schémas Avro et leurs registres. / Avro schemas and registries."
)

Where = Annotated[
    Path,
    typer.Option(
        "--folder",
        help="Dossier avec avro/ et registry.json. / Folder with avro/ and registry.json.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]
Remote = Annotated[
    str,
    typer.Option(
        "--registry", help="Registre à l'API de Confluent, par son URL. / Registry with Confluent's API, by its URL."
    ),
]


@app.command("lint")
def lint(folder: Where = SHIPPED, as_json: Json = False) -> None:
    """Chaque schéma, seul : doc, noms, defaults, types. / Each schema alone: docs, names, defaults, types."""
    found = _open(folder)
    _end(lint_folder(found), len(found.texts), as_json)


@app.command("check")
def check(folder: Where = SHIPPED, registry: Remote = "", as_json: Json = False) -> None:
    """Tout : lint, chaque version avec chaque autre, et le registre. / All: lint, every version with every other, the registry."""
    found = _open(folder)
    findings = check_folder(found)
    if registry:
        with _remote(registry, as_json) as remote:
            findings += check_remote(found, remote)
    _end(findings, len(found.texts), as_json)


@app.command("register")
def register(folder: Where = SHIPPED, registry: Remote = "", as_json: Json = False) -> None:
    """Inscrire les nouveaux schémas, s'ils suivent les règles. / Register the new schemas, if they keep the rules."""
    found = _open(folder)
    text, refusals = registered(found)
    if refusals:
        _end(refusals, len(found.texts), as_json)
    if text != found.registry:
        _write(folder / "registry.json", text)
    after = Folder(found.texts, text)
    done = sorted((after.lines or {}).keys() - (found.lines or {}).keys())
    if registry:
        with _remote(registry, as_json) as remote:
            done, refusals = register_remote(after, remote)
    if as_json:
        show.line(registered=[str(name) for name in done])
    else:
        show.console.print("\n".join(map(str, done)), markup=False, end="\n" if done else "")
    _end(refusals, len(found.texts), as_json)


@app.command("list")
def list_(folder: Where = SHIPPED, registry: Remote = "", as_json: Json = False) -> None:
    """Les schémas inscrits, avec leurs numéros. / The registered schemas, with their ids."""
    found = _open(folder)
    lines = found.lines or {}
    rows = [{"schema": str(name), "id": line.id, "sha256": line.sha256} for name, line in sorted(lines.items())]
    if registry:
        with _remote(registry, as_json) as remote:
            for row, name in zip(rows, sorted(lines), strict=True):
                there = remote.find(name.subject, name.version)
                row["remote_id"] = there.id if there else 0
    for row in rows:
        if as_json:
            show.line(**row)
        else:
            other = f"  {row['remote_id'] or '-':>5}" if registry else ""
            show.console.print(f"{row['id']:>5}{other}  {str(row['sha256'])[:12]}  {row['schema']}", markup=False)
    if found.lines is None:
        _end([Finding(Rule.REGISTRY_UNREADABLE, "registry.json")], len(found.texts), as_json)


@app.command("diff")
def diff(
    earlier: Annotated[str, typer.Argument(help="ask.v1, ou un fichier. / ask.v1, or a file.")],
    later: Annotated[str, typer.Argument(help="ask.v2, ou un fichier. / ask.v2, or a file.")],
    folder: Where = SHIPPED,
    as_json: Json = False,
) -> None:
    """Ce qui change entre deux versions, et ce qu'une version n'a pas le droit de changer. / What changes, and what may not."""
    found = _open(folder)
    one, two = _one(earlier, found, as_json), _one(later, found, as_json)
    for change in changes(one.schema, two.schema):
        why = show.tr(*RULES[change.rule].cause) if change.rule else ""
        if as_json:
            show.line(what=change.what, where=change.where, rule=change.rule, allowed=change.rule is None)
        else:
            mark = "[red]✗[/]" if change.rule else "[green]·[/]"
            told = "  ".join(filter(None, (change.where, change.what, why)))
            show.console.print(f"{mark} {escape(told)}", soft_wrap=True)


def _open(folder: Path) -> Folder:
    try:
        return open_folder(folder)
    except OSError:
        raise typer.BadParameter("avro/", param_hint="--folder") from None


def _write(path: Path, text: str) -> None:
    """The whole file or the former one."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError:
        raise typer.BadParameter(path.name, param_hint="--folder") from None


def _one(name: str, folder: Folder, as_json: bool) -> Codec:
    """A schema of the folder by its name, else a file."""
    path = Path(name)
    text = folder.texts.get(name)
    if text is None and not path.is_file():
        raise typer.BadParameter("ask.v1 | ask.v1.avsc")
    try:
        return read(path.read_text("utf-8", "replace") if text is None else text)
    except BadSchema as bad:
        _end([Finding(Rule(bad.reason), path.stem if text is None else name)], 1, as_json)
        raise  # never: a refusal has ended the command


@contextmanager
def _remote(url: str, as_json: bool) -> Iterator[ConfluentRegistry]:
    try:
        with ConfluentRegistry(url) as remote:
            yield remote
    except RegistryUnavailable as error:
        entry = RULES[Rule.REGISTRY_UNAVAILABLE]
        told = escape(f"{show.tr(*entry.cause)} ({error})")
        show.tell(Rule.REGISTRY_UNAVAILABLE, told, show.tr(*entry.todo), as_json=as_json)
        raise typer.Exit(show.UNAVAILABLE) from None


def _end(findings: Iterable[Finding], count: int, as_json: bool) -> None:
    """Tell each finding and leave, where one refuses; otherwise say how many schemas are well."""
    told = list(findings)
    for finding in told:
        _tell(finding, as_json)
    refused = sum(finding.refused for finding in told)
    if as_json:
        show.line(schemas=count, refused=refused, warnings=len(told) - refused)
    elif not refused:
        show.console.print(show.tr(f"{count} schémas, en règle", f"{count} schemas, in order"))
    if any(finding.rule is Rule.REGISTRY_UNREADABLE for finding in told):
        raise typer.Exit(show.CORRUPTED)
    if refused:
        raise typer.Exit(show.REFUSED)


def _tell(finding: Finding, as_json: bool) -> None:
    entry = RULES[finding.rule]
    cause, todo = show.tr(*entry.cause), show.tr(*entry.todo)
    if as_json:
        show.line(**finding._asdict(), refused=finding.refused, cause=cause, todo=todo)
        return
    mark = "[red]✗[/]" if finding.refused else "[yellow]![/]"
    place = escape(" ".join(filter(None, (finding.schema, finding.where, finding.detail))))
    show.console.print(f"{mark} {finding.rule}  {place}\n    {escape(cause)}\n    → {escape(todo)}", soft_wrap=True)
