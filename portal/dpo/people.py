"""Questions about one person: who they are to the ledger, all that is held on them (GDPR art. 15), and their erasure (art. 17)."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core import told
from consent.core.dossier import BadDossier, verify
from consent.core.query import Query, Signed
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.core.referentials import is_siret
from portal.core import oversight, person
from portal.dpo.office import ROLE, Office, asker, attached, keep, kept, with_reason
from portal.web.pages import Asked, Page, Pages, Problem

WORDS = ("EFFACER", "ERASE")
"""What is typed before an erasure."""


def routes(office: Office, pages: Pages) -> list[BaseRoute]:
    """The person asked about is kept in the session, as a reference; an identity only while its form is filled in."""
    return [
        *pages.page("/dpo/personne", with_reason(partial(_who, office)), ROLE),
        *pages.action("/dpo/personne", with_reason(partial(_refer, office)), ROLE),
        *pages.action("/dpo/sujet", with_reason(_chosen), ROLE),
        *pages.page("/dpo/dossier", with_reason(partial(_dossier, office)), ROLE),
        *pages.download("/dpo/dossier.zip", with_reason(partial(_dossier_file, office)), ROLE),
        *pages.page("/dpo/effacement", with_reason(partial(_before, office)), ROLE),
        *pages.action("/dpo/effacement", with_reason(partial(_erase, office)), ROLE),
        *pages.page("/dpo/effacement/certificat", with_reason(partial(_certificate, office)), ROLE),
        *pages.download("/dpo/effacement/certificat.txt", with_reason(_certificate_file), ROLE),
    ]


async def _who(office: Office, asked: Asked) -> Page:
    held = kept(asked, "person") or {}
    shown = person.shown(person.of(held), office.atlas(), office.parts.clock.now_ms())
    return Page(
        "dpo/person.html",
        {"person": shown, "recipient": held.get("recipient", ""), "problem": bool(held.get("problem"))},
    )


async def _refer(office: Office, asked: Asked) -> Page | Response:
    """The identity becomes a reference, and is forgotten."""
    form, recipient = {name: asked.text(name) for name in person.FIELDS}, "".join(asked.text("recipient").split())
    typed = person.of(kept(asked, "person")).joined(form, sent=asked.text("suite") != "chercher")
    found = person.read(typed, office.atlas(), office.parts.clock.now_ms()).identity if typed.sent else None
    known = is_siret(recipient)
    if found is None or not known:
        keep(asked, person=person.kept(typed) | {"recipient": recipient, "problem": typed.sent and not known})
        return asked.see("/dpo/personne")
    subject = await office.parts.ledger.refer(*asker(asked), canonical(found), recipient)
    keep(asked, person=None, subject=subject.hex(), query={"subject": subject.hex(), "recipient": recipient})
    return asked.see("/dpo/accords")


async def _chosen(asked: Asked) -> Response:
    """The person of an authorisation that was looked at."""
    subject, then = asked.text("subject"), asked.text("suite")
    try:
        oversight.query_of({"subject": subject})
    except ValueError:
        raise Problem(Code.BAD_FORM) from None
    keep(asked, subject=subject or None)
    return asked.see("/dpo/effacement" if then == "effacement" else "/dpo/dossier")


def _subject(asked: Asked) -> bytes:
    """Whom this session asks about; a problem where nobody was chosen."""
    found = kept(asked, "subject") or (kept(asked, "query") or {}).get("subject", "")
    if not found:
        raise Problem(Code.NOTHING_FOUND, 404)
    return bytes.fromhex(found)


async def _dossier(office: Office, asked: Asked) -> Page:
    signed = await office.parts.ledger.dossier(*asker(asked), _subject(asked))
    body = json.loads(signed.body)
    data = {
        "person": {name: value for name, value in (body["person"] or {}).items() if value and value != ["", ""]},
        "subject": body["subject"],
        "recipient": body["recipient"],
        "authorisations": [
            {
                "authorisation": one["authorisation"],
                "state": told.word(one["state"], asked.tr),
                "purpose": one["purpose"],
                "data_set": one["data_set"],
                "requests": len(one["requests"]),
            }
            for one in body["authorisations"]
        ],
        "facts": len(body["facts"]),
        "questions": len(body["questions"]),
        "checked": _checked(office, signed),
        "vkey": str(office.parts.trust.log),
    }
    return Page("dpo/dossier.html", data)


def _checked(office: Office, signed: Signed) -> dict[str, Any]:
    """Whether the log signed this dossier and holds every fact of it."""
    try:
        found = verify(signed.body, signed.note, office.parts.trust.log)
    except BadDossier:
        return {"holds": False, "origin": "", "size": 0, "facts": 0}
    return {"holds": True, "origin": found.origin, "size": found.size, "facts": found.facts}


async def _dossier_file(office: Office, asked: Asked) -> Response:
    signed = await office.parts.ledger.dossier(*asker(asked), _subject(asked))
    return attached(told.bundle(signed), "dossier.zip", "application/zip")


async def _certificate(office: Office, asked: Asked) -> Page:
    held = {"certificate": kept(asked, "certificate") or "", "vkey": str(office.parts.trust.log)}
    return Page("dpo/certificate.html", held)


async def _certificate_file(asked: Asked) -> Response:
    return attached(str(kept(asked, "certificate") or "").encode(), "effacement.txt", "text/plain; charset=utf-8")


async def _before(office: Office, asked: Asked, *, problem: bool = False) -> Page:
    """What will go; nothing does yet."""
    subject = _subject(asked)
    found = await office.parts.ledger.query(*asker(asked), Query(subject=subject, limit=200), False)
    if not found.total:
        raise Problem(Code.NOTHING_FOUND, 404)
    rows = [
        {
            "authorisation": row.authorisation.hex(),
            "state": told.word(row.state.value, asked.tr),
            "purpose": row.purpose,
            "uses": row.uses,
        }
        for row in found.rows
    ]
    data = {
        "rows": rows,
        "total": found.total,
        "recipient": found.rows[0].recipient,
        "subject": subject.hex(),
        "problem": problem,
    }
    return Page("dpo/erasure.html", data, 422 if problem else 200)


async def _erase(office: Office, asked: Asked) -> Page | Response:
    """For good, once the word is typed."""
    if asked.text("mot").upper() not in WORDS:
        return await _before(office, asked, problem=True)
    erased = await office.parts.ledger.erase(*asker(asked), _subject(asked))
    keep(asked, subject=None, query=None, certificate=erased.certificate)
    return asked.see("/dpo/effacement/certificat")
