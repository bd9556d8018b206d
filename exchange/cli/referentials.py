"""`accord referentials`: make the dated table of communes and countries, and see what it says of an identity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exchange import referentials
from exchange.cli import show
from exchange.cli.collecting import IdentityFile, read_identity
from exchange.cli.options import Data, Json
from exchange.core import cog
from exchange.core.errors import Code
from exchange.ports import Refused
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Les référentiels datés. / Dated reference tables.")


@app.command("build")
def build(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Dossier des CSV du COG (insee.fr). / Folder of INSEE's CSV files.", exists=True, file_okay=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Table à écrire ; celle du bus par défaut. / Table to write.", dir_okay=False
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Faire la table datée des communes et des pays. / Make the dated table of communes and countries."""
    path = output or Settings().places(data).root / referentials.TABLE
    with show.explained(as_json=as_json):
        places = referentials.build(folder)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        referentials.write(places, path)
    _told(path, places, as_json)


@app.command("fetch")
def fetch(data: Data = None, as_json: Json = False) -> None:
    """Prendre toutes les communes depuis 1943 dans un paquet npm (Etalab, données de l'INSEE). / Take all communes from an npm package."""
    folder = Settings().places(data).root
    with show.explained(as_json=as_json):
        try:
            places = referentials.fetch()
        except Refused as refused:
            show.fail(refused.code, "", show.UNAVAILABLE, as_json=as_json)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        referentials.write(places, folder / referentials.TABLE)
    _told(folder / referentials.TABLE, places, as_json)


def _told(path: Path, places: list[cog.Place], as_json: bool) -> None:
    table = cog.Cog.of(places)
    if as_json:
        show.line(table=str(path), communes=len(table.communes), countries=len(table.countries))
    else:
        counts = show.tr("{} codes de communes, {} de pays", "{} commune codes, {} country codes")
        show.console.print(f"{path}\n{counts.format(len(table.communes), len(table.countries))}", soft_wrap=True)


@app.command("check")
def check(identity: IdentityFile, data: Data = None, as_json: Json = False) -> None:
    """Dire quels champs d'une identité ne nomment aucun lieu à la naissance. / Tell which fields name no place as of the birth."""
    with show.explained(as_json=as_json):
        table = referentials.load(Settings().places(data).root)
        if table is None:
            show.fail(Code.BAD_REFERENTIAL, referentials.TABLE, show.UNAVAILABLE, as_json=as_json)
        problems = cog.check(read_identity(identity), table)
    if as_json:
        show.line(ok=not problems, fields=problems)
    else:
        show.console.print(
            ", ".join(problems) or show.tr("les lieux existent à cette date", "the places exist as of that date")
        )
    raise typer.Exit(show.REFUSED if problems else show.OK)
