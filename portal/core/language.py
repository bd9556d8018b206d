"""Which language a person reads: French unless they say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Language = Literal["fr", "en"]
LANGUAGES: tuple[Language, ...] = ("fr", "en")
Tr = Callable[[str, str], str]
"""Of a French and an English text, the one that is read."""


def choose(asked: str | None, kept: str | None, accepted: str) -> Language:
    """The language asked for now, else that of the cookie, else the first of ours in `Accept-Language` (RFC 9110 §12.5.4), else French."""
    for wish in (asked, kept):
        if wish in LANGUAGES:
            return wish
    for name in _by_weight(accepted):
        for ours in LANGUAGES:
            if name == ours or name.startswith(f"{ours}-"):
                return ours
    return "fr"


def _by_weight(accepted: str) -> list[str]:
    found = list[tuple[float, str]]()
    for part in accepted[:500].split(","):
        name, _, weight = part.strip().lower().partition(";q=")
        try:
            found.append((float(weight or 1), name))
        except ValueError:
            continue
    return [name for weight, name in sorted(found, key=lambda each: -each[0]) if weight > 0]


def translator(language: Language) -> Tr:
    """`tr("français", "English")` in this language."""
    return (lambda fr, _: fr) if language == "fr" else (lambda _, en: en)
