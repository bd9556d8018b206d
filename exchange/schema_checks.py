"""A folder of schemas (`avro/*.avsc` and `registry.json`) against every rule, its own registry's and a remote one's.

Nothing here stops at the first fault: each is a `Finding`, and a broken file hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from exchange.core.avro import BadSchema, Codec
from exchange.core.schema_evolution import breaks, changes
from exchange.core.schema_lint import lint, read
from exchange.core.schema_rules import Finding, Rule
from exchange.registry import LEVEL, ConfluentRegistry
from exchange.schemas import BadCatalogue, Name, Registered, name_of, read_registry, register

SHIPPED = Path(str(files("schemas")))
"""The folder of this package."""


@dataclass(frozen=True)
class Folder:
    """The texts of a folder: schemas by stem, and the registry. What is not UTF-8 reads as no schema."""

    texts: Mapping[str, str]
    registry: str

    @cached_property
    def codecs(self) -> dict[Name, Codec]:
        """The schemas a codec can be made of, by name."""
        found = {}
        for stem, text in self.texts.items():
            try:
                found[name_of(stem)] = read(text)
            except (BadSchema, BadCatalogue):
                continue  # `lint` says why
        return dict(sorted(found.items()))

    @cached_property
    def lines(self) -> dict[Name, Registered] | None:
        """The registry's lines, or None where it cannot be read."""
        try:
            return read_registry(self.registry)
        except BadCatalogue:
            return None


def open_folder(path: Path) -> Folder:
    """Read a folder. Raises OSError."""
    texts = {file.stem: file.read_text("utf-8", "replace") for file in sorted((path / "avro").iterdir()) if _is(file)}
    registry = path / "registry.json"
    return Folder(texts, registry.read_text("utf-8", "replace") if registry.exists() else "{}")


def _is(file: Path) -> bool:
    return file.suffix == ".avsc" and file.is_file()


def lint_folder(folder: Folder) -> list[Finding]:
    """What each schema does not keep by itself."""
    return [finding for stem, text in folder.texts.items() for finding in lint(stem, text)]


def check(folder: Folder) -> list[Finding]:
    """Lint, FULL_TRANSITIVE over all versions of each subject, and the registry's word."""
    return [*lint_folder(folder), *_versions(folder), *_registry(folder)]


def registered(folder: Folder) -> tuple[str, list[Finding]]:
    """The registry with a line for each new schema; unchanged, with the reasons, where a rule is not kept."""
    refusals = [f for f in check(folder) if f.refused and f.rule is not Rule.NOT_REGISTERED]
    if refusals:
        return folder.registry, refusals
    return register({f"{stem}.avsc": text for stem, text in folder.texts.items()}, folder.registry), []


def check_remote(folder: Folder, remote: ConfluentRegistry) -> list[Finding]:
    """Where a remote registry does not say what ours says. Raises RegistryUnavailable."""
    return [finding for name in _by_id(folder) for finding in _at_remote(folder, remote, name)]


def register_remote(folder: Folder, remote: ConfluentRegistry) -> tuple[list[Name], list[Finding]]:
    """Register there what it lacks, in the order of our ids, so that an empty registry gives the ids our messages carry; stop at the
    first that it refuses or numbers otherwise. Answers what was registered. Raises RegistryUnavailable."""
    done: list[Name] = []
    for name in _by_id(folder):
        if remote.find(name.subject, name.version) is None:
            remote.demand(name.subject)
            if remote.register(name.subject, folder.texts[str(name)]) is None:
                return done, [Finding(Rule.REGISTRY_REFUSES, str(name))]
            done.append(name)
        if wrong := list(_at_remote(folder, remote, name)):
            return done, wrong
    return done, []


def _versions(folder: Folder) -> Iterator[Finding]:
    schemas = {str(name): codec.schema for name, codec in folder.codecs.items()}
    for subject in dict.fromkeys(name.subject for name in folder.codecs):
        yield from breaks(schemas, subject, [name.version for name in folder.codecs if name.subject == subject])


def _registry(folder: Folder) -> Iterator[Finding]:
    if folder.lines is None:
        yield Finding(Rule.REGISTRY_UNREADABLE, "registry.json")
        return
    for name, codec in folder.codecs.items():
        line = folder.lines.get(name)
        if line is not None and not line.tells(codec):
            yield Finding(Rule.REGISTERED_CHANGED, str(name))
        elif line is None or not line.document_sha256:
            yield Finding(Rule.NOT_REGISTERED, str(name))
    yield from (Finding(Rule.REGISTERED_MISSING, str(name)) for name in folder.lines if str(name) not in folder.texts)


def _by_id(folder: Folder) -> list[Name]:
    lines = folder.lines or {}
    return sorted(lines.keys() & folder.codecs.keys(), key=lambda name: lines[name].id)


def _at_remote(folder: Folder, remote: ConfluentRegistry, name: Name) -> Iterator[Finding]:
    found = remote.find(name.subject, name.version)
    if found is None:
        accepted = remote.accepts(name.subject, folder.texts[str(name)])
        yield Finding(Rule.NOT_REGISTERED if accepted else Rule.REGISTRY_REFUSES, str(name))
        return
    if not _same(folder.codecs[name], found.schema):
        yield Finding(Rule.REGISTRY_OTHER, str(name))
    ours = folder.lines[name].id if folder.lines else 0
    if found.id != ours:
        yield Finding(Rule.REGISTRY_ID, str(name), "", f"{found.id} ≠ {ours}")
    if remote.level(name.subject) != LEVEL:
        yield Finding(Rule.REGISTRY_LEVEL, str(name))


def _same(codec: Codec, text: str) -> bool:
    """The same but for docs: bytes are read alike, and so is what is absent."""
    try:
        other = read(text)
    except BadSchema:
        return False
    return codec.sha256 == other.sha256 and all(c.what in ("doc", "order") for c in changes(codec.schema, other.schema))
