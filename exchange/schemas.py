"""The catalogue of schemas: ``schemas/avro/<subject>.v<N>.avsc``, each with the id ``schemas/registry.json`` gives it.

A registered schema never changes and its id is never given again; ``accord schemas register`` adds new files. A subject
with a dot, such as ``cnaf.quotient-familial``, is a data set: its schema describes the datum itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NamedTuple

from exchange.core import frame
from exchange.core.avro import BadAvro, BadSchema, Codec
from exchange.core.schema_lint import STEM, read
from exchange.core.schema_tree import document_sha256


class BadCatalogue(RuntimeError):
    """The schemas and their registry disagree: nothing may be read or written with them."""


class UnknownSchema(LookupError):
    """A schema id, subject or data set the catalogue does not have."""


class Registered(NamedTuple):
    """What the registry holds under subject and version: the id, a positive int32, the SHA-256 of the parsing canonical form, which
    others compute too, and that of the whole document (`exchange.core.schema_tree`), empty in a line older than it."""

    id: int
    sha256: str
    document_sha256: str = ""

    def tells(self, codec: Codec) -> bool:
        """Whether this is the schema of that codec, docs apart, as far as the line says."""
        own = self.document_sha256 or document_sha256(codec.schema)
        return (self.sha256, own) == (codec.sha256, document_sha256(codec.schema))


class Name(NamedTuple):
    """What a schema is called: its subject and version, together the stem of its file."""

    subject: str
    version: int

    def __str__(self) -> str:
        return f"{self.subject}.v{self.version}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All schemas, by name and by id. Every method raises UnknownSchema for what it does not have."""

    codecs: Mapping[Name, Codec]
    registry: Mapping[Name, Registered]
    _names: Mapping[int, Name]
    _latest: Mapping[str, Name]
    _all: Mapping[str, Sequence[Name]]
    _defaults: Mapping[str, Mapping[str, Any]]
    _data_sets: Mapping[str, Codec]

    def codec(self, subject: str) -> Codec:
        """The codec of a subject's latest version."""
        return self.codecs[self._latest_of(subject)]

    def id(self, subject: str) -> int:
        """The id of a subject's latest version."""
        return self.registry[self._latest_of(subject)].id

    def read_framed(self, subject: str, schema_id: int, data: bytes) -> dict[str, Any]:
        """A datum of any version of a subject, as the latest has it, with its defaults. Raises BadAvro; UnknownSchema for another subject's id."""
        name = self._name_of(schema_id)
        if name.subject != subject:
            raise UnknownSchema
        read = self.codecs[name].decode(data)
        return read if name == self._latest[subject] else {**self._defaults[subject], **read}

    def read_bare(self, subject: str, data: bytes) -> dict[str, Any]:
        """A datum that no frame tells the version of, as the latest version has it, with its defaults. Raises BadAvro.

        One version at most reads it: each adds fields after those of the one before, and a codec takes all the bytes.
        """
        *earlier, latest = self._versions(subject)
        for name in earlier:
            with suppress(BadAvro):
                return {**self._defaults[subject], **self.codecs[name].decode(data)}
        return self.codecs[latest].decode(data)

    def write_bare(self, subject: str, record: Mapping[str, Any]) -> bytes:
        """A record of the latest version in the earliest one that says it all: what adds nothing keeps the bytes it had, and its readers."""
        *earlier, latest = self._versions(subject)
        fields = self.codecs[latest].schema["fields"]
        needed = {f["name"] for f in fields if "default" not in f or record[f["name"]] != _default(f)}
        for name in earlier:
            known = {f["name"] for f in self.codecs[name].schema["fields"]}
            if needed <= known:
                return self.codecs[name].encode({k: v for k, v in record.items() if k in known})
        return self.codecs[latest].encode(record)

    def prefix(self, subject: str) -> bytes:
        """The five bytes before a datum of a subject's latest version (``exchange.core.frame``)."""
        return frame.prefix(self.id(subject))

    def codec_by_id(self, schema_id: int) -> Codec:
        """The codec that wrote a frame with this id."""
        return self.codecs[self._name_of(schema_id)]

    def subject(self, schema_id: int) -> str:
        """The subject of a schema id."""
        return self._name_of(schema_id).subject

    def data_sets(self) -> tuple[str, ...]:
        """The data sets' names with their versions, e.g. ``cnaf.quotient-familial.v1``, sorted."""
        return tuple(self._data_sets)

    def codec_of_data_set(self, data_set: str) -> Codec:
        """The codec of the datum of a data set named as in ``data_sets``."""
        try:
            return self._data_sets[data_set]
        except KeyError:
            raise UnknownSchema from None

    def _versions(self, subject: str) -> Sequence[Name]:
        return self._all[self._latest_of(subject).subject]

    def _latest_of(self, subject: str) -> Name:
        try:
            return self._latest[subject]
        except KeyError:
            raise UnknownSchema from None

    def _name_of(self, schema_id: int) -> Name:
        try:
            return self._names[schema_id]
        except KeyError:
            raise UnknownSchema from None


def _defaults(codec: Codec) -> dict[str, Any]:
    return {f["name"]: _default(f) for f in codec.schema["fields"] if "default" in f}


def _default(field: Mapping[str, Any]) -> Any:
    """A field's default; that of `bytes` or `fixed` is written as text, one character a byte (Avro 1.12, "Complex types")."""
    kind, default = field["type"], field["default"]
    is_bytes = kind == "bytes" or (isinstance(kind, Mapping) and kind["type"] == "fixed")
    return default.encode("latin-1") if is_bytes else default


@cache
def catalogue() -> Catalogue:
    """The catalogue this package ships, read once. Raises BadCatalogue."""
    folder = files("schemas")
    texts = {entry.name: entry.read_text("utf-8") for entry in folder.joinpath("avro").iterdir()}
    return build(texts, folder.joinpath("registry.json").read_text("utf-8"))


def build(files: Mapping[str, str], registry: str) -> Catalogue:
    """The catalogue of schema files (text by file name) under a registry (JSON text). Raises BadCatalogue."""
    codecs = _codecs(files)
    lines = read_registry(registry)
    if unregistered := codecs.keys() - lines.keys():
        raise BadCatalogue(f"not registered: {_listed(unregistered)}; run: accord schemas register")
    if missing := lines.keys() - codecs.keys():
        raise BadCatalogue(f"registered, and now missing: {_listed(missing)}")
    _require_unchanged(codecs, lines)
    if older := {name for name, line in lines.items() if not line.document_sha256}:
        raise BadCatalogue(f"registered before documents had a digest: {_listed(older)}; run: accord schemas register")
    latest = {name.subject: name for name in sorted(codecs)}
    return Catalogue(
        codecs=MappingProxyType(codecs),
        registry=MappingProxyType(lines),
        _names=MappingProxyType({line.id: name for name, line in lines.items()}),
        _latest=MappingProxyType(latest),
        _all=MappingProxyType(
            {subject: [Name(subject, n) for n in range(1, last.version + 1)] for subject, last in latest.items()}
        ),
        _defaults=MappingProxyType({subject: _defaults(codecs[last]) for subject, last in latest.items()}),
        _data_sets=MappingProxyType(
            {str(name): codecs[name] for name in sorted(codecs, key=str) if "." in name.subject}
        ),
    )


def register(files: Mapping[str, str], registry: str) -> str:
    """The registry with a line more for each new schema, its id the next one, and every line complete. Raises BadCatalogue."""
    codecs = _codecs(files)
    lines = read_registry(registry)
    _require_unchanged(codecs, lines)
    last = max((line.id for line in lines.values()), default=0)
    for schema_id, name in enumerate(sorted(codecs.keys() - lines.keys()), start=last + 1):
        lines[name] = Registered(schema_id, codecs[name].sha256)
    for name, codec in codecs.items():
        lines[name] = lines[name]._replace(document_sha256=document_sha256(codec.schema))
    shown: dict[str, dict[str, object]] = {}
    for (subject, version), line in sorted(lines.items()):
        shown.setdefault(subject, {})[str(version)] = line._asdict()
    return json.dumps(shown, indent=2) + "\n"


def _codecs(files: Mapping[str, str]) -> dict[Name, Codec]:
    try:
        return {name_of(file.removesuffix(".avsc")): read(files[file]) for file in _schema_files(files)}
    except BadSchema as error:
        raise BadCatalogue(f"a schema is not usable: {error}") from error


def _schema_files(files: Iterable[str]) -> list[str]:
    return sorted(file for file in files if file.endswith(".avsc"))


def name_of(stem: str) -> Name:
    """The subject and version a file's stem says. Raises BadCatalogue."""
    if not (match := STEM.fullmatch(stem)):
        raise BadCatalogue(f"not named <subject>.v<version>: {stem}")
    return Name(match[1], int(match[2]))


def read_registry(text: str) -> dict[Name, Registered]:
    """The lines of a registry. Raises BadCatalogue."""
    try:
        shown: dict[str, dict[str, Any]] = json.loads(text)
        lines = {
            name_of(f"{subject}.v{version}"): Registered(**line)
            for subject, versions in shown.items()
            for version, line in versions.items()
        }
        for line in lines.values():
            frame.prefix(line.id)
    except (json.JSONDecodeError, AttributeError, TypeError, frame.BadFrame) as error:
        raise BadCatalogue("the registry is not readable") from error
    if len({line.id for line in lines.values()}) != len(lines):
        raise BadCatalogue("the registry gives one id twice")
    return lines


def _require_unchanged(codecs: Mapping[Name, Codec], lines: Mapping[Name, Registered]) -> None:
    changed = {name for name in codecs.keys() & lines.keys() if not lines[name].tells(codecs[name])}
    if changed:
        raise BadCatalogue(f"registered, and now changed: {_listed(changed)}; a change is a new version")


def _listed(names: Iterable[Name]) -> str:
    return ", ".join(sorted(map(str, names)))


if __name__ == "__main__":
    raise SystemExit("accord schemas register")
