"""`accord theme`: how the portal's pages look; the State's own look, for the State."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli import show
from exchange.cli.options import Data, Json
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.ports import Refused
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="L'aspect des pages. / How the pages look.")


@app.callback()
def theme() -> None:
    """L'aspect des pages. / How the pages look."""


@app.command("dsfr")
def dsfr(
    entity: Annotated[
        str, typer.Option("--entity", help="Le service ou l'opérateur de l'État. / The State service or operator.")
    ] = "",
    siren: Annotated[str, typer.Option("--siren", help="Son SIREN. / Its SIREN.")] = "",
    declare: Annotated[
        bool,
        typer.Option(
            "--declare",
            help="Déclarer qu'il est de l'État, comme les conditions d'utilisation le demandent. / Declare that it is of the State.",
        ),
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Installer le Système de Design de l'État : services et opérateurs de l'État seulement. / Install the State's design system."""
    from portal.core.theme import TERMS
    from portal.theme import install

    places = Settings().places(data)
    if not as_json:
        show.console.print(show.tr(TERMS.fr, TERMS.en), soft_wrap=True)
    if not declare:
        show.fail(Code.THEME_UNDECLARED, "--declare", show.REFUSED, as_json=as_json)
    try:
        files = install(places, entity, siren, SystemClock().now_ms())
    except Refused as refused:
        undeclared = refused.code is Code.THEME_UNDECLARED
        detail, exit_code = ("--entity, --siren", show.USAGE) if undeclared else ("", show.UNAVAILABLE)
        show.fail(refused.code, detail, exit_code, as_json=as_json)
    if as_json:
        show.line(theme="dsfr", files=files, folder=str(places.dsfr))
    else:
        done = show.tr(
            "{} fichiers dans {} ; ACCORD_THEME=dsfr les sert", "{} files in {}; ACCORD_THEME=dsfr serves them"
        )
        show.console.print(done.format(files, places.dsfr), soft_wrap=True)
