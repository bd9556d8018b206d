"""`accord bench`: how fast, beside its limit, in the same run."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Mesures côte à côte. / Side-by-side measures.")


@app.callback()
def bench() -> None:
    """Mesures côte à côte. / Side-by-side measures."""
