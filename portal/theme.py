"""The DSFR in a data directory: fetched from npm, checked, declared; opened by a portal whose setting says so."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from exchange import npm
from exchange.core.errors import Code
from exchange.core.rendering import rfc3339
from exchange.places import Places
from exchange.ports import Refused
from exchange.settings import Settings
from portal.core import theme
from portal.core.theme import CSS, DECLARATION, Declaration, Theme

LOCK = Path(__file__).with_name("dsfr.lock.toml")
SERVED, SUMS = "served", "sha256.json"
"""The folder that browsers may read, and what each of its files was when it was installed."""


def install(places: Places, entity: str, siren: str, now_ms: int) -> int:
    """Fetch it, keep what pages need, and write the declaration; how many files. It takes the place of one before as a whole. Refused:
    `theme_undeclared` where nobody is named, or as `exchange.npm.fetch`."""
    if not theme.declarable(entity, siren):
        raise Refused(Code.THEME_UNDECLARED)
    locked, folder = npm.read_lock(LOCK), places.dsfr
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        kept = npm.unpack(npm.fetch(locked, Path(temporary)), theme.place_of, new / SERVED)
        if CSS not in kept:
            raise Refused(Code.PACKAGE_UNAVAILABLE)
        said = Declaration(entity, siren, rfc3339(now_ms), locked.version)
        (new / DECLARATION).write_bytes(msgspec.json.format(msgspec.json.encode(said)))
        (new / SUMS).write_bytes(msgspec.json.encode({name: _sum(new / SERVED / name) for name in kept}))
        if folder.exists():
            shutil.rmtree(folder)
        new.replace(folder)
    return len(kept)


def open_theme(places: Places, settings: Settings) -> Theme | None:
    """The theme of the pages, None for the neutral one. Refused: `theme_undeclared`, `theme_absent`. Whoever asks for the State's look without
    what it takes gets no portal at all, rather than another look."""
    if settings.theme == "neutral":
        return None
    folder, locked = places.dsfr, npm.read_lock(LOCK)
    try:
        said = theme.read_declaration((folder / DECLARATION).read_bytes(), locked.version)
    except OSError:
        said = None
    if said is None:
        raise Refused(Code.THEME_UNDECLARED)
    try:
        sums = msgspec.json.decode((folder / SUMS).read_bytes(), type=dict[str, str])
        whole = CSS in sums and all(_sum(folder / SERVED / name) == found for name, found in sums.items())
    except (OSError, msgspec.MsgspecError):
        whole = False
    if not whole:
        raise Refused(Code.THEME_ABSENT)
    return Theme(locked.version, said.entity)


def _sum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
