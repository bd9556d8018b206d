"""What a person reads before an answer about them is handed over, or has read to them. Pure: values of the ledger and a language in, texts
out. The answer is sealed to the collectivity: nothing here knows what it says (ADR 0031)."""

from __future__ import annotations

from typing import Any

import msgspec

from consent.core.citizen import Agreement, Preview
from consent.core.facts import Terms
from exchange.core.rendering import moment
from portal.core import plain
from portal.core.citizen import question
from portal.core.language import Language, translator
from portal.core.plain import Names


def shown(one: Agreement, preview: Preview, names: Names, language: Language) -> dict[str, Any]:
    """One answer that waits for its person: what it is of, for whom, what for, until when."""
    return {
        "id": one.id.hex(),
        "request": preview.submission.key.request.hex(),
        "terms": plain.told(_asked(one, preview), names, language),
        "question": question(one, language),
        "legal": one.terms.basis == "legal",
        "asked_at_ms": preview.asked_at_ms,
        "deadline_ms": preview.deadline_ms,
        "use": one.uses + 1,
    }


def script(one: Agreement, preview: Preview, names: Names, language: Language) -> tuple[str, ...]:
    """What an agent reads to a person before they answer."""
    said, tr = plain.told(_asked(one, preview), names, language), translator(language)
    data = ", ".join(each["text"][:1].lower() + each["text"][1:] for each in said["data"])
    about = question(one, language)
    until = moment(preview.deadline_ms, language)
    what = tr(f"seulement la réponse à « {about} »", f"only the answer to “{about}”") if about else data
    return (
        tr(
            f"{said['provider']} a répondu. Rien n'est encore parti : c'est à vous de dire si la réponse peut être transmise.",
            f"{said['provider']} has answered. Nothing has left yet: it is for you to say whether the answer may be handed over.",
        ),
        tr(
            f"Elle irait à : {said['recipient']}, pour {said['purpose']}. Elle peut contenir : {what}. Rien d'autre.",
            f"It would go to: {said['recipient']}, to {said['purpose']}. It may hold: {what}. Nothing else.",
        ),
        tr(
            "Je ne peux pas la lire, ni vous en dire le contenu : elle est scellée pour qui doit la recevoir.",
            "I cannot read it, nor tell you what it says: it is sealed for whoever is to receive it.",
        ),
        tr(
            f"Si vous ne voulez pas, rien n'est transmis et votre dossier reste ouvert. Sans réponse de vous avant le {until}, rien n'est transmis non plus.",
            f"If you do not want it, nothing is handed over and your file stays open. Without a word of yours before {until}, nothing is handed over either.",
        ),
        tr("Voulez-vous que cette réponse soit transmise ?", "Do you want this answer to be handed over?"),
    )


def _asked(one: Agreement, preview: Preview) -> Terms:
    """The terms, for what was asked alone."""
    return msgspec.structs.replace(one.terms, scopes=preview.scopes)
