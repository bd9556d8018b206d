"""`accord consent preview`: what waits for its person under an agreement, and their yes or no."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from consent.client import connect
from consent.core.citizen import Preview
from exchange.cli import collecting as how
from exchange.cli import show
from exchange.cli.options import Data, Json, parse_id
from exchange.core.errors import Code
from exchange.core.rendering import rfc3339
from exchange.settings import Settings


def preview(
    agreement: Annotated[str, typer.Argument(help="Numéro de l'accord. / The agreement's id.")],
    accept: Annotated[
        str, typer.Option("--accept", help="Demande que la personne laisse transmettre. / Request it lets through.")
    ] = "",
    reject: Annotated[
        str, typer.Option("--reject", help="Demande qu'elle ne veut pas. / Request it does not want.")
    ] = "",
    channel: how.ChannelName = "online",
    agent: how.Agent = "",
    proof: how.Proof = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Voir ce qui attend que la personne le laisse transmettre, et enregistrer sa réponse. / See what waits for the person, record their word."""
    collected, authorisation = how.evidence(channel, agent, proof, "eidas1"), parse_id(agreement)
    wanted = parse_id(accept or reject) if accept or reject else b""

    async def work() -> tuple[list[Preview], int | None]:
        ledger = connect(Settings().places(data).socket)
        waiting = await ledger.previews([authorisation])
        found = next((one.submission for one in waiting if one.submission.key.request == wanted), None)
        return waiting, None if found is None else await ledger.previewed(found, bool(accept), collected)

    waiting, index = show.run(work(), as_json=as_json)
    if not wanted:
        for one in waiting:
            _shown(one, as_json)
        return
    if index is None:
        show.fail(Code.NOTHING_WAITS, agreement, show.REFUSED, as_json=as_json)
    said = "preview_accepted" if accept else "preview_rejected"
    show.line(outcome=said, request=wanted, leaf_index=index) if as_json else show.console.print(said)


def _shown(one: Preview, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "request": one.submission.key.request.hex(), "operator": one.submission.key.operator, "scopes": list(one.scopes),
        "asked_at": rfc3339(one.asked_at_ms), "until": rfc3339(one.deadline_ms),
    }  # fmt: skip
    show.line(**facts) if as_json else show.console.print("  ".join(str(value) for value in facts.values()))
