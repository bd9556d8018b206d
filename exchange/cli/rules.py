"""`accord rule`: a question put to a data set, written, checked, signed and shown; its answer leaves the provider, not the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from consent.core import note
from exchange import rules
from exchange.cli import show
from exchange.cli.ledger import opened
from exchange.cli.options import Data, Json
from exchange.cli.rule_files import checked, invalid, is_signed, read_text
from exchange.core import rule as core
from exchange.rules import BadRule
from exchange.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Règles : une réponse, pas la donnée. / Rules: an answer, not the data.",
)
_SHIPPED = ", ".join(sorted(rules.shipped()))
File = Annotated[str, typer.Argument(help=f"Fichier, ou une règle fournie ({_SHIPPED}). / File, or a shipped rule.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Fichier à écrire ; <nom>.rule. / File to write.")]


@app.command("sign")
def sign(file: File, output: Output = None, data: Data = None, as_json: Json = False) -> None:
    """Faire signer une règle par le greffier du bus. / Have a rule signed by the registrar of the bus."""
    places, text = Settings().places(data), read_text(file, as_json)
    try:
        asked = rules.read(text)
    except BadRule as bad:
        invalid(bad, as_json)

    async def work() -> bytes:
        async with opened(places, as_json) as ledger:
            return await ledger.sign_rule(text)

    signed, path = show.run(work(), as_json=as_json), output or Path(f"{asked.name}{rules.SUFFIX}")
    try:
        path.write_bytes(signed)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--output") from None
    if as_json:
        show.line(rule=asked.name, hash=asked.hash, file=str(path))
    else:
        show.console.print(f"{asked.name}  {asked.hash.hex()}  → {path}", markup=False, soft_wrap=True)


@app.command("check")
def check(file: File, data: Data = None, as_json: Json = False) -> None:
    """Vérifier une règle : sa forme, ses champs et, si elle est signée, sa signature. / Check a rule: form, fields, signature if any."""
    text = read_text(file, as_json)
    asked, signed = checked(text, Settings().places(data), as_json), is_signed(text)
    if as_json:
        show.line(rule=asked.name, hash=asked.hash, signed=signed)
    else:
        word = show.tr("signée", "signed") if signed else show.tr("non signée", "not signed")
        show.console.print(f"{asked.name}  {asked.hash.hex()}  {word}", markup=False, soft_wrap=True)


@app.command("show")
def show_(file: File, as_json: Json = False) -> None:
    """Montrer ce qu'une règle demande, en mots et en formule, sans vérifier sa signature. / Show what a rule asks, in words and formula."""
    text = read_text(file, as_json)
    try:
        asked = rules.unverified(text.encode()) if is_signed(text) else rules.read(text)
    except BadRule as bad:
        invalid(bad, as_json)
    facts = {
        "rule": asked.name, "data_set": asked.data_set, "fr": asked.fr, "en": asked.en, "computed": core.in_short(asked.question),
        "answers": list(asked.results), "scopes": list(rules.scopes_of(asked)), "hash": asked.hash.hex(),
        "signers": [signature.name for signature in note.split(text)[1]] if is_signed(text) else [],
    }  # fmt: skip
    if as_json:
        show.line(**facts)
        return
    for name, value in facts.items():
        told = ", ".join(value) if isinstance(value, list) else value
        show.console.print(f"[bold]{name:>9}[/]  {escape(str(told))}", soft_wrap=True)
