"""From an identity and an ask to one call of a State API: which operation, which path, which query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from connectors.contract import Identity
from connectors.core.description import PLACEHOLDER, Description, Operation

FRANCE = "99100"
PRENOMS_MAX = 3
_SEX = {"M": "1", "F": "2"}
_SAFE = re.compile(r"[0-9A-Za-z]+", re.ASCII)


class ParameterRefused(ValueError):
    """The ask holds a parameter its data set does not document, or a malformed one; names nothing given."""


class IdentityLacks(ValueError):
    """The identity lacks what the State API needs to designate someone; names nothing given."""


class Call(NamedTuple):
    """One call to make: its operation, what fills the path's placeholders, and the query in its order."""

    operation: Operation
    filled: Mapping[str, str]
    query: list[tuple[str, str]]

    @property
    def path(self) -> str:
        """The path, its placeholders filled."""
        return PLACEHOLDER.sub(lambda found: self.filled[found[1]], self.operation.path)

    @property
    def designation(self) -> list[tuple[str, str]]:
        """All that is asked, in the path or in the query, under its wire names."""
        return [*self.filled.items(), *self.query]


def _birth(part: int) -> Callable[[Identity], tuple[str, ...]]:
    """A part of the birth date, known only if those before it are: the State ignores a month without its year."""

    def known(identity: Identity) -> tuple[str, ...]:
        parts = identity.date_naissance.split("-")[: part + 1]
        return (parts[part].lstrip("0"),) if len(parts) > part and all(text.strip("0") for text in parts) else ()

    return known


def _known_birth(identity: Identity) -> list[str]:
    """Year, month, day, as far as they are known."""
    parts = identity.date_naissance.split("-")
    unknown = next((at for at, text in enumerate(parts) if not text.strip("0")), len(parts))
    return parts[:unknown]


def _split_commune(identity: Identity) -> tuple[str, str]:
    """Département and commune of the COG code: 2 and 3 characters, 3 and 2 overseas (SFiP)."""
    code = identity.code_cog_insee_commune_naissance
    at = 3 if code.startswith(("97", "98")) else 2
    return code[:at], code[at:]


def _in_france(identity: Identity) -> bool:
    """A birth abroad has no commune of the COG."""
    return identity.code_cog_insee_pays_naissance in ("", FRANCE)


def _named_place(identity: Identity) -> bool:
    """The commune's name and its département serve only where its code is not given (OpenAPI)."""
    return _in_france(identity) and not identity.code_cog_insee_commune_naissance


SOURCES: Mapping[str, Callable[[Identity], tuple[str, ...]]] = {
    "nom_naissance": lambda i: (i.nom_naissance,),
    "nom_usage": lambda i: (i.nom_usage,),
    "prenoms": lambda i: i.prenoms[:PRENOMS_MAX],
    "annee_naissance": _birth(0),
    "mois_naissance": _birth(1),
    "jour_naissance": _birth(2),
    "sexe_etat_civil": lambda i: (i.sexe_etat_civil,),
    "code_cog_insee_pays_naissance": lambda i: (i.code_cog_insee_pays_naissance,),
    "code_cog_insee_commune_naissance": lambda i: (i.code_cog_insee_commune_naissance,) if _in_france(i) else (),
    "nom_commune_naissance": lambda i: (i.nom_commune_naissance,) if _named_place(i) else (),
    "code_cog_insee_departement_naissance": lambda i: (
        (i.code_cog_insee_departement_naissance,) if _named_place(i) else ()
    ),
    "sexe_numero": lambda i: (_SEX.get(i.sexe_etat_civil, ""),),
    "prenoms_joints": lambda i: (" ".join(i.prenoms),),
    "date_naissance_inverse": lambda i: ("/".join(reversed(_known_birth(i))),),
    "departement_naissance": lambda i: (
        (_split_commune(i)[0] or i.code_cog_insee_departement_naissance,) if _in_france(i) else ()
    ),
    "commune_du_departement": lambda i: (_split_commune(i)[1],) if _in_france(i) else (),
    "spi": lambda i: (i.numero_fiscal,),
    "ine": lambda i: (i.ine,),
    "identifiant_france_travail": lambda i: (i.identifiant_france_travail,),
    "siret": lambda i: (i.siret,),
    "siren": lambda i: (i.siret[:9],),
}
"""What an identity gives to a query, empty texts being nothing. ``recipient`` comes beside, from the ask."""


def values(source: str, identity: Identity) -> tuple[str, ...]:
    """The wire values of a source for this identity; none where it was not given."""
    return tuple(text for text in SOURCES[source](identity) if text)


def call(description: Description, identity: Identity, recipient: str, parameters: Mapping[str, str]) -> Call:
    """The one call that asks for this data set. Raises ``ParameterRefused`` or ``IdentityLacks`` (``ValueError``)."""
    for name, value in parameters.items():
        allowed = description.parameters.get(name)
        if allowed is None or not allowed.pattern.fullmatch(value):
            raise ParameterRefused("parameter not allowed by this data set")
    if any(known.required and name not in parameters for name, known in description.parameters.items()):
        raise ParameterRefused("a parameter of this data set is missing")
    operation = _operation(description, identity, parameters)
    own, filled = {"recipient": (recipient,)}, _filled(operation, identity, parameters)
    pairs = [(wire, text) for wire, source in operation.query for text in own.get(source) or values(source, identity)]
    pairs += [(name, parameters[name]) for name in description.parameters if name in parameters.keys() - filled.keys()]
    return Call(operation, filled, [(name, text) for name, text in pairs if text])


def _operation(description: Description, identity: Identity, parameters: Mapping[str, str]) -> Operation:
    for operation in description.operations:
        taken = operation.takes is None or parameters.keys() <= operation.takes
        if taken and all(name in parameters or _given(name, identity) for name in operation.needs):
            return operation
    raise IdentityLacks("the identity does not designate anyone to this State API")


def _given(source: str, identity: Identity) -> bool:
    return source in SOURCES and bool(values(source, identity))


def _filled(operation: Operation, identity: Identity, parameters: Mapping[str, str]) -> dict[str, str]:
    """What fills the path: plain numbers or words only, so that nothing of an identity climbs out of its segment."""
    names = PLACEHOLDER.findall(operation.path)
    filled = {name: parameters.get(name) or "".join(values(name, identity)) for name in names}
    if not all(_SAFE.fullmatch(text) for text in filled.values()):
        raise IdentityLacks("the identity does not fill the path")
    return filled
