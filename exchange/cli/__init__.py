"""The command `accord`: one file per family of commands, imported when it is called. `--json` everywhere; exit codes
0 ok, 2 usage, 3 refused, 4 unavailable, 5 corrupted."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from exchange.caches import keep_bytecode

COMMANDS = {
    "demo": "demo:demo",
    "dev": "dev:dev",
    "doctor": "doctor:doctor",
    "request": "request:request",
    "consent": "consent:app",
    "rule": "rules:app",
    "ledger": "ledger:app",
    "dpo": "dpo:app",
    "receipt": "receipt:app",
    "habilitation": "habilitation:app",
    "referentials": "referentials:app",
    "keys": "keys:app",
    "journal": "journal:app",
    "witness": "witness:app",
    "schemas": "schemas:app",
    "topics": "topics:app",
    "worker": "roles:worker",
    "connector": "connector:app",
    "sandbox": "roles:sandbox",
    "identity": "roles:identity",
    "portal": "portal:app",
    "theme": "theme:app",
    "facade": "facade:app",
    "demarche": "demarche:app",
    "bench": "bench:app",
}
"""Command → file and name, in the order of `accord --help`."""


class _Lazy(TyperGroup):
    """Each process of a bus is a command: it imports its own family, not all of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(import_module(f"exchange.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_command(found)
            group.name = name
            return group
        single = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
        single.command(name)(found)
        return typer.main.get_command(single)


app = typer.Typer(
    cls=_Lazy,
    name="accord",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Accord : le bus d'échange soumis à l'accord du citoyen. / The consent-gated exchange bus.",
)


@app.callback()
def accord() -> None:
    """Accord : le bus d'échange soumis à l'accord du citoyen. / The consent-gated exchange bus."""


def main() -> None:
    """The entry point. Whatever a command writes is its owner's alone."""
    os.umask(0o077)
    keep_bytecode()
    app()
