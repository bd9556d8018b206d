"""One agreement at the counter: what it is, what became of it, its receipt and its letter; and all that a citizen can do online with it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent import paper
from consent.core import record, told, wording
from consent.core.facts import Authorisation, Evidence, State, Terms
from exchange.core.errors import Code
from exchange.core.rendering import day
from exchange.ports import Recovering
from portal.core import plain
from portal.core.assisted import CHANNELS, Draft
from portal.guichet.desk import ROLE, Desk, agent_of, keep, opened
from portal.names import names_of, party
from portal.web.pages import Asked, Missing, Page, Pages, Problem

_RENEWABLE = (State.LIVE, State.EXPIRED, State.USED_UP)


def routes(desk: Desk, pages: Pages) -> list[BaseRoute]:
    """Of the agreements this session has opened; no other is there."""
    at = "/guichet/accords/{id}"
    return [
        *pages.page(f"{at}/courrier", partial(_letter, desk), ROLE),
        *pages.download(f"{at}/recu.pdf", partial(_receipt, desk), ROLE),
        *pages.page(f"{at}/retrait", partial(_withdraw, desk), ROLE),
        *pages.action(f"{at}/retrait", partial(_withdrawn, desk), ROLE),
        *pages.action(f"{at}/reduction", partial(_narrowed, desk), ROLE),
        *pages.action(f"{at}/renouvellement", partial(_renew, desk), ROLE),
        *pages.page(at, partial(_shown, desk), ROLE),
    ]


async def _shown(desk: Desk, asked: Asked) -> Page:
    return Page("guichet/agreement.html", await _agreement(desk, asked))


async def _withdraw(desk: Desk, asked: Asked) -> Page:
    return Page("guichet/withdraw.html", await _agreement(desk, asked) | {"channels": _channels()})


def _channels() -> list[dict[str, Any]]:
    return [{"value": channel, "text": list(wording.CHANNELS[channel])} for channel in CHANNELS]


async def _held(desk: Desk, asked: Asked) -> tuple[Authorisation, Terms]:
    """`Missing` unless this session has opened it, and it is the agent's collectivity's."""
    authorisation = opened(asked)
    (held,) = await desk.parts.ledger.lookup([authorisation])
    if held is None or held.recipient != agent_of(asked).recipient:
        raise Missing
    return held, await desk.parts.ledger.terms(authorisation)


def _state(held: Authorisation, now_ms: int) -> str:
    """As it is now, also where nothing has yet recorded that its time is over."""
    return "expired" if held.state is State.LIVE and now_ms >= held.not_after_ms else held.state.value


async def _agreement(desk: Desk, asked: Asked) -> dict[str, Any]:
    held, terms = await _held(desk, asked)
    now_ms = desk.parts.clock.now_ms()
    state, names = _state(held, now_ms), names_of(desk.parts.places, terms)
    entries = await desk.parts.ledger.entries(held.id)
    return {
        "number": held.id.hex(),
        "state": state,
        "state_text": told.word(state, asked.tr),
        "live": state == "live",
        "terms": plain.told(terms, names, asked.language),
        "uses": held.uses,
        "history": [{"at_ms": e.at_ms, "text": told.word(e.kind, asked.tr), "request": e.request.hex(), "leaf": e.index} for e in entries],
        "can_withdraw": held.state in _RENEWABLE,
        "can_narrow": state == "live" and len(terms.scopes) > 1,
        "can_renew": held.state in _RENEWABLE,
        "has_receipt": held.state is not State.ERASED,
        "acknowledgement": asked.session.data.get("guichet-acknowledgements", {}).get(held.id.hex()),
    }  # fmt: skip


async def _letter(desk: Desk, asked: Asked) -> Page:
    agreement = await _agreement(desk, asked)
    name, address, contact = party(desk.parts.places, agent_of(asked).recipient)
    today = day(desk.parts.clock.now_ms(), asked.language)
    sender = {"name": name, "address": address, "contact": contact}
    return Page("guichet/letter.html", agreement | {"sender": sender, "today": today})


async def _receipt(desk: Desk, asked: Asked) -> Response:
    """The same page as the person gets online."""
    held, _ = await _held(desk, asked)
    document = record.parse(await desk.parts.ledger.receipt(held.id))
    drawn = await asyncio.to_thread(paper.draw, document, asked.language)
    name = f'inline; filename="recu-{held.id.hex()[:8]}.pdf"'
    return Response(drawn, media_type="application/pdf", headers={"content-disposition": name})


async def _withdrawn(desk: Desk, asked: Asked) -> Response:
    """Withdrawn, or objected to on a legal basis; what was already on its way is said."""
    held, terms = await _held(desk, asked)
    channel = asked.text("channel")
    if channel not in CHANNELS:
        raise Problem(Code.BAD_FORM)
    happening = "opposed" if terms.basis == "legal" else "withdrawn"
    evidence = Evidence(channel, agent_of(asked).reference)
    try:
        ack = await desk.parts.ledger.withdraw(held.id, happening, evidence)
    except Recovering as recovering:
        if not recovering.recorded:
            raise
        asked.session.put("notice", [
            "C'est enregistré et définitif. Le registre est en reprise : son accusé viendra ensuite.",
            "It is recorded and binding. The ledger is recovering: its acknowledgement will follow."])  # fmt: skip
        return asked.see(f"/guichet/accords/{held.id.hex()}")
    kept = asked.session.data.get("guichet-acknowledgements", {})
    fact = {
        "at_ms": ack.at_ms,
        "leaf": ack.leaf_index,
        "named": [request.hex() for request in ack.named],
        "note": ack.note,
    }
    asked.session.put("guichet-acknowledgements", dict([*kept.items(), (held.id.hex(), fact)][-4:]))
    asked.session.put(
        "notice", ["Accord retiré : ses clés sont détruites.", "Agreement withdrawn: its keys are destroyed."]
    )
    return asked.see(f"/guichet/accords/{held.id.hex()}")


async def _narrowed(desk: Desk, asked: Asked) -> Response:
    """Only what is still ticked may be asked from now on."""
    held, terms = await _held(desk, asked)
    kept = tuple(sorted(set(asked.texts("scope")) & set(terms.scopes)))
    if kept and kept != tuple(sorted(terms.scopes)):
        await desk.parts.ledger.narrow(held.id, kept, await desk.operator(held.recipient))
        asked.session.put(
            "notice", ["Accord restreint à ce qui reste coché.", "Agreement narrowed to what is still ticked."]
        )
    else:
        asked.session.put("notice", [
            "Rien n'a changé : gardez au moins une information, et décochez-en une. Pour tout arrêter, retirez l'accord.",
            "Nothing changed: keep one piece of information at least, and untick one. To stop it all, withdraw."])  # fmt: skip
    return asked.see(f"/guichet/accords/{held.id.hex()}")


async def _renew(desk: Desk, asked: Asked) -> Response:
    """A draft like another: the terms are read aloud again, and the person answers."""
    held, _ = await _held(desk, asked)
    channel = asked.text("channel", "counter")
    if channel not in CHANNELS or held.state not in _RENEWABLE:
        raise Problem(Code.BAD_FORM)
    now_ms = desk.parts.clock.now_ms()
    draft = Draft(held.id.hex(), held.recipient, now_ms, channel, asked.language, act="renew")
    keep(asked.session, draft)
    return asked.see(f"/guichet/saisies/{draft.id}/lecture")
