"""`/guichet`: the agent's day, a new agreement, and finding one by its number."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core import wording
from consent.core.facts import State
from consent.receipts import words_of
from exchange.core.errors import Code
from exchange.ports import Refused
from portal.core.assisted import CHANNELS, LIFE_DAYS, Draft, number
from portal.guichet import agreements, collecting, previewing
from portal.guichet.desk import ROLE, Desk, agent_of, drafts, keep, open_
from portal.identity.logins import Logins
from portal.names import Atlas, party
from portal.parts import Parts
from portal.web.pages import Asked, Page, Pages

_SPEAKS = ("self", "parent", "mandate")


def routes(parts: Parts, pages: Pages, logins: Logins) -> list[BaseRoute]:
    """All pages of the counter; an agent must be logged in for each."""
    desk = Desk(parts, Atlas(parts.places.root), logins)

    return [
        *pages.page("/guichet", partial(_shown, desk), ROLE),
        *pages.action("/guichet/recherche", partial(_find, desk), ROLE),
        *pages.page("/guichet/nouveau", partial(_choose, desk), ROLE),
        *pages.action("/guichet/nouveau", partial(_begin, desk), ROLE),
        *collecting.routes(desk, pages),
        *previewing.routes(desk, pages),
        *agreements.routes(desk, pages),
    ]


async def _shown(desk: Desk, asked: Asked) -> Page:
    return Page("guichet/home.html", await _home(desk, asked))


async def _choose(desk: Desk, asked: Asked) -> Page:
    return Page("guichet/new.html", await _new(desk, asked, {}))


async def _home(desk: Desk, asked: Asked, problem: str = "") -> dict[str, Any]:
    agent = agent_of(asked)
    tally = await desk.parts.ledger.tally(agent.reference)
    return {
        "agent": agent.name,
        "collectivity": party(desk.parts.places, agent.recipient)[0],
        "recorded": tally.recorded,
        "quota": tally.most,
        "drafts": [{"id": one.id, "at_ms": one.at_ms, "channel": one.channel, "step": desk.step(one)} for one in drafts(asked.session)],
        "problem": problem,
    }  # fmt: skip


async def _find(desk: Desk, asked: Asked) -> Page | Response:
    """By its number, or by the code on its receipt; that it was looked at is recorded."""
    agent, typed = agent_of(asked), asked.text("numero")
    try:
        wanted = number(typed) or (await desk.parts.ledger.agreement_of_code(typed)).id.hex()
        await desk.parts.ledger.consult(bytes.fromhex(wanted), agent.reference, agent.recipient)
    except Refused as refused:
        if refused.code is not Code.AUTHORISATION_UNKNOWN:
            raise
        return Page("guichet/home.html", await _home(desk, asked, refused.code.value), 404)
    open_(asked.session, wanted)
    return asked.see(f"/guichet/accords/{wanted}")


async def _new(desk: Desk, asked: Asked, problems: dict[str, list[str]]) -> dict[str, Any]:
    agent, now_ms = agent_of(asked), desk.parts.clock.now_ms()
    may = [
        one
        for one in await desk.parts.ledger.habilitations()
        if one.recipient == agent.recipient and one.scopes and one.not_after_ms > now_ms
    ]
    subjects = [
        {"value": f"{one.data_set} {one.purpose}", "title": words_of(one.data_set)[0], "purpose": list(wording.purpose(one.purpose))}
        for one in may
    ]  # fmt: skip
    return {
        "subjects": subjects,
        "channels": [{"value": channel, "text": list(wording.CHANNELS[channel]), "days": LIFE_DAYS[channel]} for channel in CHANNELS],
        "typed": {name: asked.text(name) for name in ("subject", "channel", "langue", "interprete", "speaks", "numero")},
        "problems": problems,
    }  # fmt: skip


async def _begin(desk: Desk, asked: Asked) -> Page | Response:
    problems = dict[str, list[str]]()
    channel, speaks = asked.text("channel"), asked.text("speaks")
    if channel not in CHANNELS:
        problems["channel"] = ["Choisissez comment la personne s'exprime.", "Choose how the person speaks."]
    if speaks not in _SPEAKS:
        problems["speaks"] = ["Choisissez qui parle.", "Choose who speaks."]
    asked_for = await _asked_for(desk, asked, problems)
    subject = "" if asked_for else await _subject(desk, asked, problems)
    if problems:
        return Page("guichet/new.html", await _new(desk, asked, problems), 422)
    data_set, _, purpose = subject.partition(" ")
    draft = Draft(
        asked_for or os.urandom(16).hex(), agent_of(asked).recipient, desk.parts.clock.now_ms(), channel,  # type: ignore[arg-type]  # one of them
        "en" if asked.text("langue") == "en" else "fr", bool(asked.text("interprete")), speaks,  # type: ignore[arg-type]  # one of them
        asked=bool(asked_for), data_set=data_set, purpose=purpose,
    )  # fmt: skip
    keep(asked.session, draft)
    return asked.see(f"/guichet/saisies/{draft.id}/lecture")


async def _asked_for(desk: Desk, asked: Asked, problems: dict[str, list[str]]) -> str:
    """The id of an agreement that the collectivity asked for, where the agent gives one."""
    if not asked.text("numero"):
        return ""
    wanted = number(asked.text("numero"))
    (held,) = await desk.parts.ledger.lookup([bytes.fromhex(wanted)]) if wanted else [None]
    if held is None or (held.recipient, held.state) != (agent_of(asked).recipient, State.REQUESTED):
        problems["numero"] = [
            "Aucune demande d'accord en attente sous ce numéro. Vérifiez-le, ou choisissez les informations ci-dessus.",
            "No agreement is waiting under this number. Check it, or choose the information above.",
        ]
    return wanted


async def _subject(desk: Desk, asked: Asked, problems: dict[str, list[str]]) -> str:
    wanted = asked.text("subject")
    if wanted not in {one["value"] for one in (await _new(desk, asked, {}))["subjects"]}:
        problems["subject"] = ["Choisissez les informations et l'usage.", "Choose the information and the purpose."]
    return wanted
