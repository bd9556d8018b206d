"""The steps of an agreement at the counter: read aloud, who it is, recap, confirmation. What is typed stays in the agent's session until
it is recorded or given up; addresses name the draft alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec
from starlette.datastructures import UploadFile
from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core.facts import Evidence, Terms, Tokens
from exchange.core.errors import CATALOGUE, Code
from exchange.core.identity import canonical
from exchange.ports import Refused
from portal.core import person, plain
from portal.core.assisted import EVIDENCE_MAX_BYTES, Draft, evidence_of, fingerprint, missing, steps
from portal.guichet.desk import ROLE, Desk, agent_of, drop, keep, open_, vouched
from portal.web.pages import Asked, Page, Pages

_AT_RECAP = (Code.EVIDENCE_MISSING, Code.EVIDENCE_INVALID, Code.ASSURANCE_TOO_LOW, Code.REPRESENTATION_INVALID)
"""What the ledger may object to that the recap's form can mend."""
_LEVELS = ("eidas1", "eidas2")


def routes(desk: Desk, pages: Pages) -> list[BaseRoute]:
    """Each step is a page and an action at one address."""
    at, of = "/guichet/saisies/{id}", partial
    return [
        *pages.page(f"{at}/lecture", of(_reading, desk), ROLE),
        *pages.action(f"{at}/lecture", of(_answer, desk), ROLE),
        *pages.page(f"{at}/recapitulatif", of(_recap, desk), ROLE),
        *pages.action(f"{at}/recapitulatif", of(_recapped, desk), ROLE),
        *pages.page(f"{at}/confirmation", of(_confirmation, desk), ROLE),
        *pages.action(f"{at}/confirmation", of(_confirmed, desk), ROLE),
        *pages.download(f"{at}/proconnect", of(_identified, desk), ROLE),
        *pages.action(f"{at}/abandon", of(_given_up, desk), ROLE),
        *pages.page(f"{at}/{{form}}", of(_form, desk), ROLE),
        *pages.action(f"{at}/{{form}}", of(_typed, desk), ROLE),
    ]


async def _given_up(desk: Desk, asked: Asked) -> Response:
    drop(asked.session, desk.draft(asked))
    asked.session.put("notice", ["Saisie abandonnée : rien n'a été enregistré.", "Given up: nothing was recorded."])
    return asked.see("/guichet")


def _draft(draft: Draft, step: str) -> dict[str, Any]:
    """What every step's page shows of the draft."""
    return {
        "draft": {
            "id": draft.id, "channel": draft.channel, "language": draft.language, "interpreted": draft.interpreted,
            "speaks": draft.speaks, "act": draft.act, "steps": list(steps(draft)), "step": step,
        }
    }  # fmt: skip


def _go_on(desk: Desk, asked: Asked, draft: Draft) -> Response:
    return asked.see(f"/guichet/saisies/{draft.id}/{desk.step(draft)}")


async def _reading(desk: Desk, asked: Asked, problem: tuple[str, str] | None = None) -> Page:
    draft = desk.draft(asked)
    terms, names = await desk.terms(_whole(draft))
    return Page(
        "guichet/reading.html",
        _draft(draft, "lecture")
        | {
            "script": list(plain.script(terms, names, draft.language)),
            "terms": plain.told(terms, names, draft.language),
            "chosen": list(draft.scopes or terms.scopes),
            "problem": list(problem) if problem else [],
        },
        422 if problem else 200,
    )


def _whole(draft: Draft) -> Draft:
    """All that is asked for, whatever part was agreed to before."""
    return msgspec.structs.replace(draft, scopes=())


async def _answer(desk: Desk, asked: Asked) -> Page | Response:
    """Yes, to all or to a part; or no, which is recorded and closes nothing."""
    draft = desk.draft(asked)
    if asked.text("reponse") == "non":
        return await _refused(desk, asked, draft)
    terms, _ = await desk.terms(_whole(draft))
    chosen = tuple(sorted(set(asked.texts("scope")) & set(terms.scopes)))
    if asked.text("reponse") != "oui" or (draft.act == "give" and not chosen):
        return await _reading(desk, asked, ("Cochez au moins une information, ou enregistrez le refus.", "Tick one piece of information at least, or record the refusal."))  # fmt: skip
    return _go_on(desk, asked, keep(asked.session, draft, agreed=True, scopes=() if draft.act == "renew" else chosen))


async def _refused(desk: Desk, asked: Asked, draft: Draft) -> Response:
    """Nobody is named. A renewal that is refused leaves what is held as it is."""
    drop(asked.session, draft)
    if draft.act == "renew":
        asked.session.put(
            "notice",
            ["Pas de renouvellement : l'accord reste ce qu'il était.", "Not renewed: the agreement stays as it was."],
        )
        return asked.see(f"/guichet/accords/{draft.id}")
    terms, _ = await desk.terms(draft)
    await desk.parts.ledger.refuse(draft.authorisation, terms, Evidence(draft.channel, agent_of(asked).reference))
    open_(asked.session, draft.id)
    asked.session.put(
        "notice",
        [
            "Refus enregistré. Le dossier de la personne reste ouvert.",
            "Refusal recorded. The person's file stays open.",
        ],
    )
    return asked.see(f"/guichet/accords/{draft.id}")


_FORMS = {"personne": "person", "representant": "speaker"}


async def _form(desk: Desk, asked: Asked) -> Page | Response:
    """Who the person is, or who speaks for them."""
    draft, step = desk.draft(asked), asked.path["form"]
    if step not in steps(draft) or not draft.agreed:
        return _go_on(desk, asked, draft)
    shown = person.shown(person.of(getattr(draft, _FORMS[step])), desk.atlas(), desk.parts.clock.now_ms())
    return Page("guichet/person.html", _draft(draft, step) | {"person": shown})


async def _typed(desk: Desk, asked: Asked) -> Response:
    """Kept as it was typed, right or wrong; searching for the place of birth comes back to the form."""
    draft, step = desk.draft(asked), asked.path["form"]
    if step not in steps(draft):
        return _go_on(desk, asked, draft)
    form = {name: asked.text(name) for name in person.FIELDS}
    before = person.of(getattr(draft, _FORMS[step]))
    held = before.joined(form, sent=asked.text("suite") != "chercher")
    draft = keep(asked.session, draft, **{_FORMS[step]: person.kept(held)})
    if not held.sent or desk.read(draft, _FORMS[step]).identity is None:
        return asked.see(
            f"/guichet/saisies/{draft.id}/{step}#lieu" if not held.sent else f"/guichet/saisies/{draft.id}/{step}"
        )
    return _go_on(desk, asked, draft)


def _lines(desk: Desk, draft: Draft, form: str) -> list[list[str]]:
    found = desk.read(draft, form).identity
    return [list(line) for line in person.lines(found, person.of(getattr(draft, form)), desk.atlas())] if found else []


async def _recap(desk: Desk, asked: Asked, problems: Mapping[str, Code] = MappingProxyType({})) -> Page | Response:
    draft = desk.draft(asked)
    if desk.step(draft) not in ("recapitulatif", "confirmation"):
        return _go_on(desk, asked, draft)
    if refused := asked.session.take("guichet-refused"):
        problems = {refused[0]: Code(refused[1])}
    terms, names = await desk.terms(draft)
    return Page(
        "guichet/recap.html",
        _draft(draft, "recapitulatif")
        | {
            "terms": plain.told(terms, names, asked.language),
            "person": _lines(desk, draft, "person"),
            "speaker": _lines(desk, draft, "speaker"),
            "level": draft.level, "required": terms.assurance, "evidence": draft.evidence, "mandate": draft.mandate,
            "problems": {field: [CATALOGUE[code].cause_fr, CATALOGUE[code].cause_en, CATALOGUE[code].todo_fr, CATALOGUE[code].todo_en] for field, code in problems.items()},
            "evidence_max_kb": EVIDENCE_MAX_BYTES >> 10, "bound": vouched(asked),
        },
        422 if problems else 200,
    )  # fmt: skip


async def _recapped(desk: Desk, asked: Asked) -> Page | Response:
    draft, problems = desk.draft(asked), dict[str, Code]()
    hashes = {}
    for field in ("evidence", "mandate"):
        try:
            hashes[field] = await _hash(asked, field) or getattr(draft, field)
        except ValueError:
            problems[field] = Code.EVIDENCE_INVALID
    level = asked.text("level")
    draft = keep(
        asked.session, draft, level=level if level in _LEVELS and draft.channel != "phone" else "eidas1", **hashes
    )
    terms, _ = await desk.terms(draft)
    if problems := missing(draft, terms.assurance) | problems:
        return await _recap(desk, asked, problems)
    draft = keep(asked.session, draft, ready=True, random=os.urandom(32).hex())
    then = f"/guichet/saisies/{draft.id}/confirmation"
    straight = draft.channel != "phone" and not vouched(asked)
    return await _record(desk, asked, draft, terms, None) if straight else asked.see(then)


async def _hash(asked: Asked, field: str) -> str:
    """Of the file that was sent, which is not kept, or as typed."""
    sent = asked.form.get(f"{field}_file")
    return fingerprint(await sent.read() if isinstance(sent, UploadFile) else b"", asked.text(f"{field}_hash"))


async def _confirmation(desk: Desk, asked: Asked) -> Page | Response:
    """After the recap, on its own: the person's last word on the phone; and what the agent's own login vouches for."""
    draft = desk.draft(asked)
    if desk.step(draft) != "confirmation":
        return _go_on(desk, asked, draft)
    terms, names = await desk.terms(draft)
    said = plain.told(terms, names, draft.language)
    return Page(
        "guichet/confirmation.html",
        _draft(draft, "confirmation") | {"terms": said, "to_identify": _to_identify(asked, draft)},
    )


async def _identified(desk: Desk, asked: Asked) -> Response:
    """The agent's identity provider is asked to vouch for these terms. By a link: no form of ours may lead elsewhere."""
    draft = desk.draft(asked)
    if desk.step(draft) != "confirmation" or not vouched(asked):
        return _go_on(desk, asked, draft)
    terms, _ = await desk.terms(draft)
    return asked.see(await desk.bound(asked, draft, terms, f"/guichet/saisies/{draft.id}/confirmation"))


def _to_identify(asked: Asked, draft: Draft) -> bool:
    return vouched(asked) and (asked.session.login(ROLE) or {}).get("for") != draft.random


async def _confirmed(desk: Desk, asked: Asked) -> Page | Response:
    draft = desk.draft(asked)
    if asked.text("reponse") == "non":
        return await _refused(desk, asked, draft)
    if desk.step(draft) != "confirmation" or asked.text("reponse") != "oui":
        return _go_on(desk, asked, draft)
    who, tokens = asked.session.login(ROLE) or {}, None
    if _to_identify(asked, draft):
        return _go_on(desk, asked, draft)
    if vouched(asked):
        tokens = Tokens(who["id_token"], "", bytes.fromhex(draft.random))
    terms, _ = await desk.terms(draft)
    return await _record(desk, asked, draft, terms, tokens)


async def _record(desk: Desk, asked: Asked, draft: Draft, terms: Terms, tokens: Tokens | None) -> Response:
    """The ledger's word; what it objects to goes back to the recap, beside the field that mends it."""
    speaker = desk.read(draft, "speaker").identity if draft.speaks != "self" and draft.act == "give" else None
    evidence = evidence_of(draft, agent_of(asked).reference, canonical(speaker) if speaker else b"", tokens)
    operator, ledger = await desk.operator(terms.recipient), desk.parts.ledger
    try:
        if draft.act == "renew":
            await ledger.renew(draft.authorisation, terms, evidence, operator)
        else:
            identity = desk.read(draft).identity
            assert identity is not None  # the step before would be the next
            await ledger.grant(draft.authorisation, terms, canonical(identity), evidence, operator)
    except Refused as refused:
        if refused.code not in _AT_RECAP:
            raise
        keep(asked.session, draft, ready=False)
        asked.session.put("guichet-refused", [_FIELD.get(refused.code, "evidence"), refused.code.value])
        return asked.see(f"/guichet/saisies/{draft.id}/recapitulatif")
    drop(asked.session, draft)
    open_(asked.session, draft.id)
    asked.session.put(
        "notice",
        ["Accord enregistré. Remettez son reçu à la personne.", "Agreement recorded. Give the person its receipt."],
    )
    return asked.see(f"/guichet/accords/{draft.id}")


_FIELD = {Code.ASSURANCE_TOO_LOW: "level", Code.REPRESENTATION_INVALID: "mandate"}
