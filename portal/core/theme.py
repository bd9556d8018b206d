"""The State's design system (DSFR) as a theme: what is kept of its package, and the declaration without which its pages are not shown. Pure.

Its terms of use (`doc/legal/cgu.md` of the package, 1.0.1) are for the State's services, and its operators once their ministry agrees, on
.gouv.fr sites; its licence bars it from everybody else. So the neutral theme is the default, and nothing of the DSFR is in this repository.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from consent.core.wording import Words
from exchange.core.referentials import is_siren

CSS = "dsfr.min.css"
DECLARATION = "declaration.json"
ENTITY_MAX = 120
TERMS = Words(
    "Le Système de Design de l'État est réservé aux services de l'État, et à ses opérateurs une fois agréés avec leur ministère de tutelle, pour des sites en "
    ".gouv.fr (modalités d'utilisation 1.0.1 ; le télécharger, c'est les accepter). Il ne doit être utilisé par personne d'autre, collectivités territoriales "
    "comprises : l'identité de l'État, Marianne et « République Française » surtout, ne doit tromper personne (code pénal, article 433-13). Un opérateur du bus "
    "qui n'est pas de l'État garde le thème neutre.",
    "The State's design system is for the State's services, and for its operators once agreed with their ministry, on .gouv.fr sites (terms of use 1.0.1; "
    "downloading it is accepting them). Nobody else may use it, territorial collectivities included: the State's identity, Marianne and “République Française” "
    "above all, must mislead nobody (criminal code, article 433-13). An operator of the bus that is not of the State keeps the neutral theme.",
)
_FONT = re.compile(r"dist/(fonts/[\w-]+\.woff2)", re.ASCII)
_ICON = re.compile(r"dist/(icons/[\w/-]+\.svg)", re.ASCII)
_KEPT = {f"dist/{CSS}": CSS, "LICENSE.md": "LICENSE.md", "doc/legal/cgu.md": "cgu.md"}


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who says that they are of the State: a name, a SIREN, when (RFC 3339), and under which version of the package."""

    entity: str
    siren: str
    at: str
    version: str


class Theme(NamedTuple):
    """What pages need of it: its version, and whose pages these are."""

    version: str
    entity: str


def place_of(member: str) -> str:
    """Where a file of the package goes; empty for what no page of ours needs (scripts, older formats of fonts, the other nine tenths)."""
    found = _FONT.fullmatch(member) or _ICON.fullmatch(member)
    return found[1] if found else _KEPT.get(member, "")


def declarable(entity: str, siren: str) -> bool:
    """Whether a name and a number can stand in a declaration."""
    return 0 < len(entity) <= ENTITY_MAX and entity.isprintable() and is_siren(siren)


def read_declaration(text: bytes, version: str) -> Declaration | None:
    """The declaration in a file; None where it is none, or was made for another version's terms."""
    try:
        found = msgspec.json.decode(text, type=Declaration)
    except msgspec.MsgspecError:
        return None
    return found if declarable(found.entity, found.siren) and found.version == version else None
