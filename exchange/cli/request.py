"""`accord request`: ask for a datum under an agreement, and open the answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from exchange.cli import show
from exchange.cli.consent import Purpose, Scope
from exchange.cli.options import Data, Json, parse_id
from exchange.cli.rule_files import Signed, read_signed
from exchange.core.referentials import purposes_of
from exchange.data_sets import DATA_SETS
from exchange.local import open_bus
from exchange.outcomes import Answer
from exchange.settings import Settings

TTL_S, DAY_S = 60.0, 86_400
_WORDS: dict[bool | str | None, tuple[str, str]] = {
    True: ("oui", "yes"),
    False: ("non", "no"),
    None: ("inconnu", "unknown"),
}


Watched = Annotated[
    int,
    typer.Option(
        "--watch",
        help="Rester, et dire chaque réponse qui change, regardée tous les N jours. / Stay, and tell each answer that changes, looked up every N days.",
        min=0,
        max=366,
    ),
]


def request(
    data_set: Annotated[str, typer.Argument(help="cnaf.quotient-familial.v1")],
    consent: Annotated[str, typer.Option("--consent", help="Numéro de l'accord. / The agreement's id.")],
    purpose: Purpose = "",
    scope: Scope = None,
    parameter: Annotated[list[str] | None, typer.Option("--parameter", help="annee=2026, mois=10")] = None,
    rule: Signed = None,
    ttl: Annotated[
        float | None,
        typer.Option(
            "--ttl", help="Durée de validité, s (60 ; 2 jours où la personne est consultée). / Time to live, s.", min=1
        ),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Attente, s. / Wait, s.", min=0)] = 60,
    watch: Watched = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Demander une donnée, ou la réponse d'une règle, sous un accord. / Ask for a datum, or a rule's answer, under an agreement."""
    chosen = dict(item.partition("=")[::2] for item in parameter or [])
    usual_s = None if data_set in DATA_SETS and DATA_SETS[data_set].preview else TTL_S
    signed, _ = read_signed(rule, Settings().places(data), as_json)
    asked: dict[str, Any] = {
        "consent": parse_id(consent), "purpose": purpose or purposes_of(data_set)[0], "scopes": scope, "parameters": chosen, "ttl_s": usual_s if ttl is None else ttl,
        "rule": signed,
    }  # fmt: skip

    async def work() -> Answer:
        async with open_bus(data=data) as bus:
            return await (await bus.request(data_set, **asked)).answer(timeout)

    async def follow() -> None:
        async with open_bus(data=data) as bus:
            watched = await bus.watch(data_set, every_s=watch * DAY_S, **asked)
            async for change in watched.changes():
                _say(change.answer, as_json, watch=watched.name, number=change.number, cursor=change.cursor)

    if watch:
        show.run(follow(), as_json=as_json)
        return
    answer = show.run(work(), as_json=as_json)
    _say(answer, as_json)
    raise typer.Exit(show.OK if answer.status != "refused" else show.REFUSED)


def _say(answer: Answer, as_json: bool, **more: object) -> None:
    facts: dict[str, Any] = {
        "outcome": "released" if answer.status == "found" else answer.status,
        "request": answer.request,
    }
    facts |= {"code": answer.code or None, "title": answer.title or None, "data": answer.data}
    facts |= {"rule": answer.rule.hash, "result": answer.rule.result} if answer.rule else {}
    if as_json:
        show.line(**facts, **more)
    elif answer.rule is not None:
        result = answer.rule.result
        told = result if isinstance(result, str) else show.tr(*_WORDS[result])
        show.console.print(f"{told}  {answer.code}".rstrip(), markup=False)
    elif answer.data is None:
        show.console.print(f"{answer.code}  {answer.title}")
    else:
        show.console.print_json(data=answer.data)
