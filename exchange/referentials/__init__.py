"""The dated table of places: made from the files INSEE publishes, read where an identity enters the bus."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from exchange import npm
from exchange.core import cog
from exchange.core.cog import BadReferential, Cog, Place
from exchange.core.identity import BadIdentity, Identity

TABLE = "cog.csv"
"""In the data directory of a bus; absent: places of birth are not judged."""
EXCERPT = Path(__file__).parent / "excerpt"
"""Files of INSEE's shape about places that do not exist, for tests and trials."""
SANDBOX = Path(__file__).parent / "sandbox.csv"
"""A table of a few real places and all countries, for sandboxes: what it does not hold is not judged."""
LOCK = Path(__file__).parent / "communes.lock.toml"
_WANTED = {"data/historique-communes.json": "history.json", "data/communes.json": "present.json"}


def build(folder: Path) -> list[Place]:
    """All places of INSEE's files in `folder` (insee.fr, « Code officiel géographique », CSV): communes and countries since 1943, the
    municipal arrondissements of a yearly file, and communes overseas where that file is there too. BadReferential names what will not do.
    """
    yearly = sorted(folder.glob("v_commune_[0-9][0-9][0-9][0-9].csv"))
    found = [
        *_read(folder / "v_commune_depuis_1943.csv", "commune", ("COM", "LIBELLE")),
        *_read(folder / "v_pays_et_territoire_depuis_1943.csv", "pays", ("COG", "LIBCOG")),
        *_read(
            yearly[-1] if yearly else folder / "v_commune_AAAA.csv", "commune", ("COM", "LIBELLE"), ("TYPECOM", "ARM")
        ),
    ]
    overseas = folder / "v_commune_outremer_depuis_1943.csv"
    if overseas.exists():
        found += _read(overseas, "commune", ("COM_COMER", "LIBELLE"))
    return found


def _read(
    path: Path, nature: cog.Nature, columns: tuple[str, str], only: tuple[str, str] = ("", "")
) -> Iterator[Place]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from cog.official(file, nature, columns, only)
    except FileNotFoundError:
        raise BadReferential(f"{path.name} : absent") from None
    except (OSError, UnicodeDecodeError, csv.Error, BadReferential) as error:
        detail = str(error) if isinstance(error, BadReferential) else type(error).__name__
        raise BadReferential(f"{path.name} : {detail}") from None


def write(places: list[Place], path: Path, *, partial: bool = False) -> None:
    """The table, whole or not at all."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(cog.rows(places, partial=partial))
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text.getvalue(), encoding="utf-8")
    part.replace(path)


def fetch() -> list[Place]:
    """All communes since 1943, from Etalab's package on npm (INSEE's data, Licence Ouverte), as they were on 1 January 2020; the countries are
    those of `SANDBOX`. Refused as `exchange.npm.fetch`; BadReferential if the package has another shape."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        npm.unpack(npm.fetch(npm.read_lock(LOCK), folder), _WANTED.get, folder)
        history, present = (json.loads((folder / name).read_bytes()) for name in _WANTED.values())
    with SANDBOX.open(encoding="utf-8", newline="") as file:
        countries = [place for each in cog.read(file).countries.values() for place in each]
    return [*cog.etalab(history, present), *countries]


def seed(folder: Path) -> None:
    """Give a sandbox's data directory its table, unless it has one."""
    if not (folder / TABLE).exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder / f"{TABLE}.{os.getpid()}.part"
        part.write_bytes(SANDBOX.read_bytes())
        part.replace(folder / TABLE)


def load(folder: Path) -> Cog | None:
    """The table of a data directory, None without one; BadReferential if it cannot be read."""
    path = folder / TABLE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return cog.read(file)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadReferential(f"{path.name} : {type(error).__name__}") from None
    except BadReferential as error:
        raise BadReferential(f"{path.name} : {error}") from None


def vetted(identity: Identity, table: Cog | None) -> Identity:
    """The same identity; BadIdentity, naming the field, if it names a place that was not one at the birth."""
    problems = cog.check(identity, table) if table else []
    if problems:
        raise BadIdentity(problems[0])
    return identity
