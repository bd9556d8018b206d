"""The command `accord`: one file per family of commands. `--json` everywhere; exit codes 0 ok, 2 usage, 3 refused,
4 unavailable, 5 corrupted."""

from __future__ import annotations

import typer

from exchange.cli import bench, consent, demo, dev, doctor, ledger, request, roles, topics

app = typer.Typer(
    name="accord",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Accord : le bus d'échange soumis à l'accord du citoyen. / The consent-gated exchange bus.",
)
app.command()(demo.demo)
app.command()(dev.dev)
app.command()(doctor.doctor)
app.command()(request.request)
app.add_typer(consent.app, name="consent")
app.add_typer(ledger.app, name="ledger")
app.add_typer(topics.app, name="topics")
app.command()(roles.worker)
app.add_typer(roles.connector, name="connector")
app.command()(roles.sandbox)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """The entry point; a bug ends with its type and place, never with values."""
    app()
