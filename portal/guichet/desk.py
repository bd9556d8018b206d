"""What the pages of the counter stand on: the agent, the drafts their session keeps, and what they have opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from consent.core import wording
from consent.core.agreement import grant_nonce
from consent.core.citizen import Agreement
from consent.core.facts import Terms
from exchange.core.errors import Code
from exchange.introduction import terms as usual_terms
from exchange.ports import Refused
from portal.core import person
from portal.core.assisted import CHANNELS, Draft, Step, next_step, terms_of
from portal.core.login import NotLoggedIn
from portal.core.person import Read
from portal.core.plain import Names
from portal.identity.logins import Logins
from portal.names import Atlas, names_of
from portal.parts import Parts
from portal.web.pages import Asked, Missing, Problem
from portal.web.sessions import Session

ROLE = "agent"
DRAFTS_MAX, OPENED_MAX = 8, 50
_DRAFTS, _OPENED = "guichet-drafts", "guichet-opened"


class Agent(NamedTuple):
    """Who is at the counter: a reference that means nothing elsewhere, a name for the page alone, and whom they act for."""

    reference: str
    name: str
    recipient: str


@dataclass(frozen=True)
class Desk:
    """One portal's counter."""

    parts: Parts
    atlas: Atlas
    logins: Logins

    def draft(self, asked: Asked) -> Draft:
        """The draft of the address; `Missing` where this session has none such."""
        held = asked.session.data.get(_DRAFTS, {}).get(asked.path["id"])
        if held is None or held["recipient"] != agent_of(asked).recipient:
            raise Missing
        return msgspec.convert(held, Draft)

    async def terms(self, draft: Draft) -> tuple[Terms, Names]:
        """What is being agreed to, and how its parties are called."""
        if draft.asked or draft.act == "renew":
            base = await self.parts.ledger.terms(draft.authorisation)
        else:
            scopes = await entitled(self.parts, draft)
            base = usual_terms(draft.recipient, draft.at_ms, draft.data_set, purpose=draft.purpose, scopes=scopes)
        names = names_of(self.parts.places, base)
        return terms_of(draft, base, names), names

    def read(self, draft: Draft, form: str = "person") -> Read:
        """What the form of the person, or of who speaks for them, comes to."""
        typed = person.of(getattr(draft, form))
        return person.read(typed, self.atlas(), self.parts.clock.now_ms())

    def step(self, draft: Draft) -> Step:
        """The first step that is not done."""
        return next_step(
            draft,
            person=person.of(draft.person).sent and self.read(draft).identity is not None,
            speaker=person.of(draft.speaker).sent and self.read(draft, "speaker").identity is not None,
        )

    async def bound(self, asked: Asked, draft: Draft, terms: Terms, then: str) -> str:
        """The address where the agent's identity provider vouches for them and these very terms (protocol §7), and sends them on to `then`."""
        nonce = grant_nonce(terms, draft.authorisation, bytes.fromhex(draft.random))
        client = (asked.session.login(ROLE) or {})["client"]
        try:
            return await self.logins.leave(asked.session, ROLE, client, then, nonce=nonce, subject=draft.random)
        except NotLoggedIn as refused:
            raise Problem(refused.code, 503) from None

    async def held(self, asked: Asked) -> Agreement:
        """The agreement of the address; `Missing` unless this session has opened it, it is the agent's collectivity's, and is not erased."""
        try:
            held = await self.parts.ledger.agreement(opened(asked))
        except Refused as refused:
            if refused.code is Code.AUTHORISATION_UNKNOWN:
                raise Missing from None
            raise
        if held.terms.recipient != agent_of(asked).recipient:
            raise Missing
        return held

    async def operator(self, recipient: str) -> str:
        """The operator (SIREN) who holds the recipient's key: the capsule is sealed to it."""
        held = [
            e.operator
            for e in await self.parts.ledger.directory()
            if (e.kind, e.organisation) == ("recipient", recipient)
        ]
        usual = self.parts.settings.operator_of(recipient)
        if not held:
            raise Refused(Code.DELEGATION_ABSENT)
        return usual if usual in held else held[-1]


def vouched(asked: Asked) -> bool:
    """Whether an identity provider let this agent in: then it also vouches for what they record. Else their word is declared only."""
    return bool((asked.session.login(ROLE) or {}).get("client"))


def agent_of(asked: Asked) -> Agent:
    """The agent of this session."""
    who = asked.session.login(ROLE) or {}
    return Agent(str(who.get("reference", "")), str(who.get("name", "")), str(who.get("siret", "")))


async def entitled(parts: Parts, draft: Draft) -> tuple[str, ...]:
    """The scopes that the draft's collectivity may ask for its purpose, in order; `Refused` where it may ask none."""
    wanted = (draft.recipient, draft.data_set, draft.purpose)
    for one in await parts.ledger.habilitations():
        if (one.recipient, one.data_set, one.purpose) == wanted and one.scopes:
            return tuple(sorted(one.scopes))
    raise Refused(Code.HABILITATION_ABSENT)


def channels() -> list[dict[str, Any]]:
    """How a person may have spoken to an agent."""
    return [{"value": channel, "text": list(wording.CHANNELS[channel])} for channel in CHANNELS]


def drafts(session: Session) -> list[Draft]:
    """All that are under way in this session, oldest first."""
    return [msgspec.convert(held, Draft) for held in session.data.get(_DRAFTS, {}).values()]


def keep(session: Session, draft: Draft, **changes: Any) -> Draft:
    """The draft with these changes, kept; the oldest is forgotten where there are too many."""
    changed = msgspec.structs.replace(draft, **changes)
    held = session.data.get(_DRAFTS, {}) | {draft.id: msgspec.to_builtins(changed)}
    session.put(_DRAFTS, dict(list(held.items())[-DRAFTS_MAX:]))
    return changed


def drop(session: Session, draft: Draft) -> None:
    """The draft is forgotten, and whoever it names with it."""
    session.put(_DRAFTS, {key: held for key, held in session.data.get(_DRAFTS, {}).items() if key != draft.id})


def open_(session: Session, authorisation: str) -> None:
    """From now on this session may look at this agreement."""
    held = [one for one in session.data.get(_OPENED, []) if one != authorisation]
    session.put(_OPENED, [*held, authorisation][-OPENED_MAX:])


def opened(asked: Asked) -> bytes:
    """The agreement of the address; `Missing` unless this session has opened it."""
    if asked.path["id"] not in asked.session.data.get(_OPENED, []):
        raise Missing
    return bytes.fromhex(asked.path["id"])
