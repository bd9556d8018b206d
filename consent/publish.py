"""The public log as static files (C2SP tlog-tiles), for any web server: `checkpoint`, `tile/<L>/<N>`, `tile/entries/<N>`.

Each file is written whole or not at all, and is durable before a checkpoint that needs it: at whatever moment the writing stops,
the directory is a valid log, at worst an older one. It only grows, from what is already there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from consent.core import note, tiles
from consent.core.note import Checkpoint
from consent.core.tiles import Tile, Tree

CHECKPOINT, OFFERED = "checkpoint", "checkpoint.offered"
"""Names of the head published, and of the one last shown to witnesses: should they alone remember it, its leaves are there."""
_BATCH_TILES = 16
File = tuple[str, bytes]
"""A path inside the directory, and its content."""


class Diverged(Exception):
    """The directory holds another log, or more of this one than there is to publish. Nothing was written."""


class Source(Protocol):
    """Where hashes and entries of a log are read. ValueError or OSError where they are not to be had."""

    def hashes(self, tile: Tile) -> Sequence[bytes]: ...
    def entries(self, tile: Tile) -> Sequence[bytes]: ...


class Files:
    """`Source` over a published directory. A partial tile that is gone is read from the whole one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hashes(self, tile: Tile) -> Sequence[bytes]:
        return tiles.unpack_hashes(*self._read(tiles.hashes_path, tile))[: tile.width]

    def entries(self, tile: Tile) -> Sequence[bytes]:
        return tiles.unpack_entries(*self._read(tiles.entries_path, tile))[: tile.width]

    def _read(self, path: Callable[[Tile], str], tile: Tile) -> tuple[bytes, int]:
        try:
            return (self._folder / path(tile)).read_bytes(), tile.width
        except FileNotFoundError:
            return (self._folder / path(tile._replace(width=tiles.WIDTH))).read_bytes(), tiles.WIDTH


def published(folder: Path, name: str = CHECKPOINT) -> str | None:
    """The checkpoint in a directory, not verified; None if there is none."""
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def head(text: str) -> Checkpoint:
    """A checkpoint's content, not verified; BadNote if it is none."""
    return note.parse_checkpoint(note.split(text)[0])


def publish(folder: Path, source: Source, checkpoints: Sequence[str]) -> None:
    """Write what the directory lacks for these checkpoints of one log, smallest first, and the last of them. Blocks."""
    for batch in missing(folder, source, checkpoints):
        write(folder, batch)
    seal(folder, checkpoints[-1])


def missing(folder: Path, source: Source, checkpoints: Sequence[str]) -> Iterator[list[File]]:
    """The files to write before the last of these checkpoints, in order, some at a time. `Diverged` if the directory's own
    checkpoint is not a prefix of it, or if the source does not lead to it."""
    heads = [head(text) for text in checkpoints]
    since = _since(folder, source, heads[-1])
    if Tree(heads[-1].size, source.hashes).root() != heads[-1].root:
        raise Diverged("the tiles do not lead to the checkpoint")
    files = _files(source, since, [h.size for h in heads if h.size > since])
    while batch := list(islice(files, 2 * _BATCH_TILES)):
        yield batch


def _since(folder: Path, source: Source, last: Checkpoint) -> int:
    """How many leaves the directory already holds."""
    text = published(folder)
    if text is None:
        return 0
    there = head(text)
    if there.origin != last.origin or there.size > last.size:
        raise Diverged("another log, or a longer one")
    if Tree(there.size, source.hashes).root() != there.root:
        raise Diverged("another history of this log")
    return there.size


def _files(source: Source, since: int, sizes: Sequence[int]) -> Iterator[File]:
    """Partial tiles are written for every size that was signed, as the specification wants."""
    for size in sizes:
        for tile in tiles.tiles(size, since):
            yield tiles.hashes_path(tile), tiles.pack_hashes(source.hashes(tile))
            if tile.level == 0:
                yield tiles.entries_path(tile), tiles.pack_entries(source.entries(tile))
        since = size


def write(folder: Path, files: Sequence[File]) -> None:
    """Write files, each whole or not at all, durable on return; readable by all, as the log is public. Blocks."""
    folders: set[Path] = set()
    for path, content in files:
        target = folder / path
        folders |= _make(folder, target.parent)
        part = target.with_name(target.name + ".part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    for made in sorted(folders, key=lambda f: len(f.parts), reverse=True):
        _sync(made)


def seal(folder: Path, checkpoint: str) -> None:
    """The checkpoint, last; then the partial tiles go that whole ones have replaced. Blocks."""
    before = published(folder)
    if before == checkpoint:
        return
    write(folder, [(CHECKPOINT, checkpoint.encode())])
    since, size, level = head(before).size if before else 0, head(checkpoint).size, 0
    while since:
        if since % tiles.WIDTH and size // tiles.WIDTH > since // tiles.WIDTH:
            whole = Tile(level, since // tiles.WIDTH)
            for path in (tiles.hashes_path(whole), *([tiles.entries_path(whole)] if level == 0 else [])):
                shutil.rmtree(folder / (path + ".p"), ignore_errors=True)
        since, size, level = since // tiles.WIDTH, size // tiles.WIDTH, level + 1


def _make(folder: Path, target: Path) -> set[Path]:
    """Make a folder inside `folder` and what leads to it; all of them, to be synced."""
    chain = [target, *target.parents]
    inside = chain[: chain.index(folder) + (1 if folder.is_dir() else 2)]
    for place in reversed(inside):
        if not place.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o755)
    return set(inside)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
