"""Terms in plain words, for whoever reads them or has them read aloud. Pure: terms, names and a language in, texts out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from consent.core import wording
from consent.core.facts import Terms
from consent.core.wording import Words
from exchange.core.rendering import day
from portal.core.language import Language, translator


class Names(NamedTuple):
    """How the parties of some terms are called, and in French what its scopes are (`consent.receipts.words_of`)."""

    recipient: str
    provider: str
    scopes: Mapping[str, str]


def told(terms: Terms, names: Names, language: Language) -> dict[str, Any]:
    """What a page shows of terms: JSON values, in one language."""
    tr = translator(language)
    return {
        "recipient": names.recipient,
        "siret": siret(terms.recipient),
        "provider": names.provider,
        "purpose": _of(wording.purpose(terms.purpose), language),
        "data": [{"scope": scope, "text": _scope(scope, names, language)} for scope in terms.scopes],
        "basis": terms.basis,
        "legal_reference": terms.legal_reference,
        "from": day(terms.not_before_ms, language),
        "until": day(terms.not_after_ms - 1, language),
        "max_uses": terms.max_uses,
        "life": _life(terms.data_life_days, language),
        "watched": _of(wording.watched(terms.watch_every_ms), language) if terms.watch_every_ms else "",
        "asked_level": tr(*wording.ASSURANCES[terms.assurance]),
    }


def script(terms: Terms, names: Names, language: Language) -> tuple[str, ...]:
    """What is read to a person before they answer, a sentence or two at a time. Its hash is the notice of the agreement: the same terms
    and names give the same words."""
    said = told(terms, names, language)
    data = ", ".join(each["text"][:1].lower() + each["text"][1:] for each in said["data"])
    tr, until = translator(language), said["until"]
    lines = [
        tr(
            f"{said['recipient']} voudrait recevoir des informations sur vous, pour {said['purpose']}.",
            f"{said['recipient']} would like to receive information about you, to {said['purpose']}.",
        ),
        tr(
            f"Ce serait : {data}. Rien d'autre. Elles viendraient directement de : {said['provider']}. Vous n'auriez aucun papier à apporter.",
            f"It would be: {data}. Nothing else. It would come straight from: {said['provider']}. You would have no paper to bring.",
        ),
        tr(
            f"Cela vaudrait jusqu'au {until}, {terms.max_uses} fois au plus. La collectivité garderait la réponse {said['life']}.",
            f"It would hold until {until}, {terms.max_uses} times at most. The local authority would keep the answer {said['life']}.",
        ),
    ]
    lines += [tr(f"{said['watched'].capitalize()}.", f"{said['watched'].capitalize()}.")] if said["watched"] else []
    return (*lines, *(_legal(terms, language) if terms.basis == "legal" else _asked(language)))


def _asked(language: Language) -> tuple[str, ...]:
    tr = translator(language)
    return (
        tr(
            "Vous êtes libre d'accepter, de n'accepter qu'une partie, ou de refuser. Si vous refusez, votre dossier reste ouvert : vous pourrez apporter les papiers vous-même.",
            "You are free to agree, to agree to a part only, or to refuse. If you refuse, your file stays open: you may bring the papers yourself.",
        ),
        tr(
            "Vous pourrez changer d'avis à tout moment, ici, par téléphone ou en ligne, sans dire pourquoi.",
            "You may change your mind at any time, here, by phone or online, without saying why.",
        ),
        tr("Êtes-vous d'accord ?", "Do you agree?"),
    )


def _legal(terms: Terms, language: Language) -> tuple[str, ...]:
    tr = translator(language)
    return (
        tr(
            f"La loi le permet ({terms.legal_reference}) : votre accord n'est pas demandé, mais vous pouvez vous y opposer, maintenant ou plus tard.",
            f"The law allows it ({terms.legal_reference}): your agreement is not asked for, but you may object, now or later.",
        ),
        tr("Vous y opposez-vous ?", "Do you object?"),
    )


def siret(number: str) -> str:
    """`211 300 553 00016`, its spaces do not break."""
    parts = (number[:3], number[3:6], number[6:9], number[9:])
    return "\u202f".join(parts) if len(number) == 14 else number


def _scope(scope: str, names: Names, language: Language) -> str:
    text = _of(wording.scope(scope, names.scopes.get(scope, "")), language)
    return text[:1].upper() + text[1:]


def _life(days: int, language: Language) -> str:
    if not days:
        return translator(language)("le temps de s'en servir", "only while it is used")
    return (
        translator(language)("un an", "one year")
        if days == 365
        else translator(language)(f"{days} jours", f"{days} days")
    )


def _of(words: Words, language: Language) -> str:
    return words.en if language == "en" else words.fr
