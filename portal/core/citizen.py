"""Agreements as their own person reads them. Pure: what the ledger shows (`consent.core.citizen`) and a language in, JSON values out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from consent.core import wording
from consent.core.citizen import Agreement, Use
from consent.core.facts import State
from consent.core.note import split
from consent.paper.words import WORDS
from exchange.core import rule
from exchange.core.errors import CATALOGUE, Code
from exchange.core.rendering import day
from portal.core import plain
from portal.core.language import Language, translator
from portal.core.plain import Names

OPEN = frozenset({State.LIVE, State.EXPIRED, State.USED_UP})
"""Where there is still something to withdraw."""
CODES = frozenset(code.value for code in Code)


def card(one: Agreement, names: Names, language: Language, now_ms: int) -> dict[str, Any]:
    """One agreement: what was agreed, where it stands, and what its person may do with it."""
    terms, state, legal = one.terms, standing(one, now_ms), one.terms.basis == "legal"
    return {
        "id": one.id.hex(),
        "state": state,
        "state_text": WORDS[language][f"state_{state}"].format(date=day(_since(one, state), language)),
        "at_ms": one.at_ms,
        "terms": plain.told(terms, names, language),
        "question": question(one, language),
        "notice_version": terms.notice_version,
        "uses": one.uses,
        "channel": _words(wording.CHANNELS, one.channel, language),
        "assisted": one.channel != "online",
        "by_another": _words(wording.REPRESENTATIONS, one.by_another, language) if one.by_another else "",
        "about": one.about,
        "legal": legal,
        "may_close": one.state in OPEN,
        "may_narrow": state == "live" and len(terms.scopes) > 1 and not terms.rule and not legal,
        "acknowledgement": acknowledgement(one),
    }


def standing(one: Agreement, now_ms: int) -> str:
    """Its state now, also where nothing has yet recorded that its time is over, or not come (`later`)."""
    if one.state is not State.LIVE:
        return one.state.value
    if now_ms >= one.terms.not_after_ms:
        return "expired"
    return "later" if now_ms < one.terms.not_before_ms else "live"


def acknowledgement(one: Agreement) -> dict[str, Any] | None:
    """The ledger's word on what closed it: when, at which leaf, and which answers had already left."""
    ack = one.acknowledged
    if ack is None:
        return None
    return {
        "at_ms": ack.at_ms,
        "leaf": ack.leaf_index,
        "named": [request.hex() for request in ack.named],
        "note": ack.note,
    }


def used(one: Agreement, uses: Sequence[Use], names: Names, language: Language) -> list[dict[str, Any]]:
    """Each use: when, for which data, how it ended."""
    return [
        {
            "request": use.request.hex(),
            "at_ms": use.at_ms,
            "code": use.code,
            "text": _fate(use, language),
            "data": [each["text"] for each in _told(one, use.scopes, names, language)],
        }
        for use in uses
    ]


def _told(one: Agreement, scopes: tuple[str, ...], names: Names, language: Language) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plain.told(msgspec.structs.replace(one.terms, scopes=scopes), names, language)["data"]
    return found


def _fate(use: Use, language: Language) -> str:
    tr = translator(language)
    if use.code == "released":
        return {
            "key": tr("réponse transmise", "answer handed over"),
            "cut": tr(
                "réponse coupée par le retrait : personne ne peut l'ouvrir",
                "answer cut off by the withdrawal: nobody can open it",
            ),
        }.get(use.delivery, tr("réponse en route", "answer on its way"))
    if use.reason == Code.PREVIEW_REJECTED:
        return tr(
            "rien transmis : vous avez dit non avant l'envoi", "nothing handed over: you said no before it was sent"
        )
    if use.reason in CODES:
        return tr("rien transmis : ", "nothing handed over: ") + CATALOGUE[Code(use.reason)].cause(language)
    return tr("rien transmis", "nothing handed over")


def _since(one: Agreement, state: str) -> int:
    if state == "later":
        return one.terms.not_before_ms
    if state in ("live", "expired"):
        return one.terms.not_after_ms - 1
    return one.acknowledged.at_ms if one.acknowledged else one.at_ms


def question(one: Agreement, language: Language) -> str:
    """What a rule asks in place of the data; empty where the data themselves are agreed to."""
    if not one.terms.rule:
        return ""
    asked = rule.parse(split(one.terms.rule.decode())[0])
    return asked.en if language == "en" else asked.fr


def _words(table: dict[str, wording.Words], name: str, language: Language) -> str:
    found = table.get(name, wording.Words(name, name))
    return found.en if language == "en" else found.fr
