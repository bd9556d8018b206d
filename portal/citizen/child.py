"""An agreement that a parent gives for their child: who the child is, what is declared, a login for these very terms, one button."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core.agreement import objection
from consent.core.citizen import Agreement
from exchange.core.errors import CATALOGUE, Code
from exchange.core.identity import Identity, canonical
from portal.citizen.acting import evidence_for, leave_for
from portal.citizen.giving import AT as ASKED
from portal.citizen.giving import address, chosen, requested, still_requested
from portal.citizen.room import ACTS, Room, id_in, identity_of, logged_in_for, name_of
from portal.core import child, person
from portal.core.person import Typed
from portal.web.pages import Asked, Page, Pages, Problem

AT = ASKED + "/enfant"
CHILDREN, CHILDREN_MAX = "children", 4
"""What was typed, by agreement asked for; the session keeps that many."""


def routes(room: Room, pages: Pages) -> list[BaseRoute]:
    """The form of the child, then the recap."""
    return [
        *pages.page(AT, partial(_form, room)),
        *pages.action(AT, partial(_typed, room)),
        *pages.download(AT + "/identification", partial(_identify, room)),
        *pages.page(AT + "/recapitulatif", partial(_recap, room)),
        *pages.action(AT + "/accord", partial(_give, room)),
        *pages.action(AT + "/abandon", partial(_given_up, room)),
    ]


async def _form(room: Room, asked: Asked) -> Page | Response:
    one = await requested(room, asked)
    if one is None:
        return room.see(asked, id_in(asked))
    typed = _held(asked, one)
    shown = person.shown(typed, room.atlas(), room.now_ms)
    found = person.read(typed, room.atlas(), room.now_ms).identity
    wrong = child.unfit(found, room.now_ms) if found and typed.sent else None
    if wrong:
        shown["problems"] = {"jour": list(wrong)}
    return Page("citoyen/enfant.html", room.card(one, asked) | {"person": shown})


async def _typed(room: Room, asked: Asked) -> Response:
    """Kept as it was typed, right or wrong; searching for the place of birth comes back to the form."""
    one = await still_requested(room, asked)
    form = {name: asked.text(name) for name in person.FIELDS}
    typed = _held(asked, one).joined(form, sent=asked.text("suite") != "chercher")
    others = {id: held for id, held in asked.session.data.get(CHILDREN, {}).items() if id != one.id.hex()}
    kept = list(others.items())[1 - CHILDREN_MAX :]
    asked.session.put(CHILDREN, dict([*kept, (one.id.hex(), person.kept(typed))]))
    if not typed.sent:
        return asked.see(f"{_address(one)}#lieu")
    return asked.see(_address(one) + ("/recapitulatif" if _child(room, asked, one) else ""))


async def _recap(room: Room, asked: Asked) -> Page | Response:
    """What is agreed to, for whom, and what the parent declares; who logged in and may not speak for the child reads why."""
    one = await requested(room, asked)
    if one is None:
        return room.see(asked, id_in(asked))
    named = _child(room, asked, one)
    if named is None:
        return asked.see(_address(one))
    ready = logged_in_for(asked, child.act(one.id, named, asked.language)) is not None
    lines = person.lines(named, _held(asked, one), room.atlas())
    shown: dict[str, Any] = {
        "child": [list(line) for line in lines], "bond": child.bond(asked.language), "chosen": list(chosen(asked, one).scopes),
        "ready": ready, "name": name_of(asked) if ready else "",
        "objection": _objection(room, asked, one, named) if ready else [],
        "providers": [label for _, label in room.logins.choices("citizen")],
    }  # fmt: skip
    return Page("citoyen/enfant-recapitulatif.html", room.card(one, asked) | shown)


def _objection(room: Room, asked: Asked, one: Agreement, named: Identity) -> list[str]:
    """Why the ledger would not record it: what is wrong and what to do, or nothing."""
    login = evidence_for(asked, child.act(one.id, named, asked.language))
    said = child.spoken_for(login, identity_of(asked), asked.language)
    code = objection(chosen(asked, one), said, canonical(named), room.now_ms)
    return [CATALOGUE[code].cause(asked.language), CATALOGUE[code].todo(asked.language)] if code else []


async def _identify(room: Room, asked: Asked) -> Response:
    """By a link: no form of ours may lead elsewhere."""
    one = await still_requested(room, asked)
    act = child.act(one.id, _named(room, asked, one), asked.language)
    return await leave_for(room, asked, act, one.id, chosen(asked, one), f"{_address(one)}/recapitulatif")


async def _give(room: Room, asked: Asked) -> Response:
    one = await still_requested(room, asked)
    named = _named(room, asked, one)
    login = evidence_for(asked, child.act(one.id, named, asked.language))
    said = child.spoken_for(login, identity_of(asked), asked.language)
    await room.parts.ledger.grant(one.id, chosen(asked, one), canonical(named), said, one.operator)
    asked.session.put(ACTS, None)
    _forget(asked, one)
    asked.session.put("notice", [
        "Votre accord est donné au nom de votre enfant. Vous pouvez le retirer ici à tout moment.",
        "Your agreement is given in your child's name. You may withdraw it here at any time.",
    ])  # fmt: skip
    return room.see(asked, one.id)


async def _given_up(room: Room, asked: Asked) -> Response:
    one = await still_requested(room, asked)
    _forget(asked, one)
    return asked.see(address(one))


def _address(one: Agreement) -> str:
    return f"{address(one)}/enfant"


def _held(asked: Asked, one: Agreement) -> Typed:
    return person.of(asked.session.data.get(CHILDREN, {}).get(one.id.hex()))


def _child(room: Room, asked: Asked, one: Agreement) -> Identity | None:
    """The child that was named; None where the form is not done, or names nobody a parent may answer for."""
    typed = _held(asked, one)
    found = person.read(typed, room.atlas(), room.now_ms).identity if typed.sent else None
    return found if found and child.unfit(found, room.now_ms) is None else None


def _named(room: Room, asked: Asked, one: Agreement) -> Identity:
    found = _child(room, asked, one)
    if found is None:
        raise Problem(Code.REPRESENTATION_INVALID, 409)
    return found


def _forget(asked: Asked, one: Agreement) -> None:
    held = {id: typed for id, typed in asked.session.data.get(CHILDREN, {}).items() if id != one.id.hex()}
    asked.session.put(CHILDREN, held or None)
