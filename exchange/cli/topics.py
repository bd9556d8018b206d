"""`accord topics apply`: the topics of a bus, as the catalogue says."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.adapters.kafka import create_topics
from exchange.cli import show
from exchange.cli.options import Data, Json, Kafka
from exchange.core import topics
from exchange.data_sets import PROVIDERS
from exchange.local import PARTITIONS
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Topics Kafka du bus. / Kafka topics of the bus.")


@app.callback()
def topics_() -> None:
    """Topics Kafka du bus. / Kafka topics of the bus."""


@app.command("apply")
def apply(
    operator: Annotated[
        list[str] | None, typer.Option("--operator", help="SIREN, répétable. / SIREN, repeatable.")
    ] = None,
    partitions: Annotated[int, typer.Option("--partitions", min=1)] = PARTITIONS,
    cluster: Annotated[bool, typer.Option("--cluster", help="RF 3, min.insync.replicas 2")] = False,
    kafka: Kafka = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Créer les topics absents. / Make the topics that do not exist."""
    settings = Settings()
    operators = operator or [settings.operator_of(settings.recipient)]

    async def work() -> list[str]:
        bootstrap = kafka or settings.broker or settings.places(data).running()["kafka"]
        wanted = topics.specs(operators, PROVIDERS, partitions=partitions, cluster=cluster)
        return await create_topics(bootstrap, wanted)

    try:
        made = show.run(work(), as_json=as_json)
    except ValueError:
        raise typer.BadParameter("SIREN", param_hint="--operator") from None
    if as_json:
        show.line(created=sorted(made))
    else:
        show.console.print("\n".join(sorted(made)) or show.tr("rien à créer", "nothing to make"))
