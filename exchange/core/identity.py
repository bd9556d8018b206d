"""Who a request is about: canonical identity, subject commitment, subject reference (protocol §6).

The canonical identity holds *every* field that designates someone to a State API, and nothing that merely selects (a month
belongs to the ask). It is written once, at the grant, and replayed byte for byte: accents or retyping never cause a mismatch.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields

from stdnum.fr import siret

from exchange.core.encoding import digest, join, split

SALT_BYTES = 32
_LABEL = b"accord.subject.v1"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBERS = {"numero_fiscal": r"[0-9]{13}", "ine": r"[0-9A-Za-z]{11}", "siret": r"[0-9]{14}"}


class BadIdentity(ValueError):
    """Not an identity; the text names the field, never its value."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, or a company, as the State's APIs designate one; an empty field was not given.

    `date_naissance` is YYYY-MM-DD with 0000 or 00 kept for what is unknown; codes are INSEE's (COG). `numero_fiscal` is the
    13 digits of the tax office, `ine` the national student number, `siret` the 14 digits of an establishment. Their shape is
    checked here; the key of a Siret where it enters (`from_wire`).
    """

    nom_naissance: str = ""
    nom_usage: str = ""
    prenoms: tuple[str, ...] = ()
    date_naissance: str = "0000-00-00"
    sexe_etat_civil: str = ""
    code_cog_insee_pays_naissance: str = ""
    code_cog_insee_commune_naissance: str = ""
    nom_commune_naissance: str = ""
    code_cog_insee_departement_naissance: str = ""
    numero_fiscal: str = ""
    ine: str = ""
    identifiant_france_travail: str = ""
    siret: str = ""

    def __post_init__(self) -> None:
        if not _DATE.fullmatch(self.date_naissance):
            raise BadIdentity("date_naissance")
        if self.sexe_etat_civil not in ("", "M", "F"):
            raise BadIdentity("sexe_etat_civil")
        for name, value in _texts(self):
            if any(unicodedata.category(c) == "Cc" for c in value) or len(value) > 200:
                raise BadIdentity(name)
        for name, pattern in _NUMBERS.items():
            if not re.fullmatch(f"({pattern})?", getattr(self, name)):
                raise BadIdentity(name)

    @classmethod
    def from_wire(cls, params: Mapping[str, object]) -> Identity:
        """From the State's own parameter names (`nomNaissance`, `prenoms`, `anneeDateNaissance`…, or SFiP's); unknown names are refused."""
        params = _from_sfip(params) if "nom" in params else params
        known = {wire: params.get(wire) or "" for wire in _WIRE}
        extra = set(params) - set(_WIRE) - {"prenoms", "anneeDateNaissance", "moisDateNaissance", "jourDateNaissance"}
        if extra:
            raise BadIdentity("unknown parameter")
        if known["siret"] and not siret.is_valid(str(known["siret"])):  # La Poste's own key included
            raise BadIdentity("siret")
        given = params.get("prenoms") or ()
        prenoms = (given,) if isinstance(given, str) else tuple(str(p) for p in given)  # type: ignore[attr-defined]  # any iterable of texts
        year, month, day = (
            _number(params.get(k), w)
            for k, w in (("anneeDateNaissance", 4), ("moisDateNaissance", 2), ("jourDateNaissance", 2))
        )
        return cls(
            **{field: str(known[wire]) for wire, field in _WIRE.items()},
            prenoms=prenoms,
            date_naissance=f"{year}-{month}-{day}",
        )


_WIRE = {
    "nomNaissance": "nom_naissance",
    "nomUsage": "nom_usage",
    "sexeEtatCivil": "sexe_etat_civil",
    "codeCogInseePaysNaissance": "code_cog_insee_pays_naissance",
    "codeCogInseeCommuneNaissance": "code_cog_insee_commune_naissance",
    "nomCommuneNaissance": "nom_commune_naissance",
    "codeCogInseeDepartementNaissance": "code_cog_insee_departement_naissance",
    "spi": "numero_fiscal",
    "ine": "ine",
    "identifiant": "identifiant_france_travail",
    "siret": "siret",
}
_SFIP_SEX = {"1": "M", "2": "F"}
_FIRST_FIELDS = 9
"""The fields every encoding has. Those added since follow only as far as the last one given: who was designated without
them keeps the same bytes."""


def _from_sfip(params: Mapping[str, object]) -> dict[str, object]:
    """SFiP's names in those of API Particulier: `prenom` in one text, `naisDate` as [[JJ/]MM/]AAAA, a commune in two parts."""
    given = {name: str(value) for name, value in params.items() if value is not None}
    date = given.pop("naisDate", "").split("/")
    if len(date) > 3:
        raise BadIdentity("naisDate")
    day, month, year = [*[""] * (3 - len(date)), *date]
    place, sex = given.pop("naisCodeDept", ""), given.pop("sexe", "")
    commune = given.pop("naisCodeCommune", "")
    if sex not in ("", *_SFIP_SEX):
        raise BadIdentity("sexe")
    mapped: dict[str, object] = {
        "nomNaissance": given.pop("nom"), "prenoms": given.pop("prenom", "").split(), "sexeEtatCivil": _SFIP_SEX.get(sex, ""),
        "anneeDateNaissance": year, "moisDateNaissance": month, "jourDateNaissance": day,
        "codeCogInseePaysNaissance": given.pop("naisCodePays", ""),
        ("codeCogInseeCommuneNaissance" if commune else "codeCogInseeDepartementNaissance"): place + commune,
    }  # fmt: skip
    return mapped | given


def _number(value: object, width: int) -> str:
    text = str(value or 0)
    if not text.isascii() or not text.isdigit() or len(text) > width:
        raise BadIdentity("date_naissance")
    return text.zfill(width)


def _texts(identity: Identity) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for field in fields(identity):
        value = getattr(identity, field.name)
        pairs += [(field.name, v) for v in value] if isinstance(value, tuple) else [(field.name, value)]
    return pairs


def canonical(identity: Identity) -> bytes:
    """The identity's one encoding: fields in order, NFC, each with its length, up to the last one given (nine at least)."""

    def text(value: str) -> bytes:
        return unicodedata.normalize("NFC", value).encode()

    values = [getattr(identity, field.name) for field in fields(identity)]
    while len(values) > _FIRST_FIELDS and not values[-1]:
        values.pop()
    return join(*(join(*map(text, value)) if isinstance(value, tuple) else text(value) for value in values))


def read(data: bytes) -> Identity:
    """The identity whose canonical encoding is `data`; BadIdentity otherwise."""
    try:
        parts = _parts(data)
        values = {f.name: p.decode() for f, p in zip(fields(Identity), parts, strict=False) if f.name != "prenoms"}
        packed, prenoms = parts[2], []
        while packed:
            size = int.from_bytes(packed[:4], "big")
            prenoms.append(packed[4 : 4 + size].decode())
            packed = packed[4 + size :]
        identity = Identity(**values, prenoms=tuple(prenoms))
    except ValueError as error:
        raise BadIdentity("not an identity") from error
    if canonical(identity) != data:
        raise BadIdentity("not canonical")
    return identity


def _parts(data: bytes) -> list[bytes]:
    """Nine parts or more, as `canonical` wrote them; ValueError."""
    for count in range(_FIRST_FIELDS, len(fields(Identity))):
        with suppress(ValueError):
            return split(data, count)
    return split(data, len(fields(Identity)))


def commitment(salt: bytes, identity: bytes) -> bytes:
    """C: hides the person from whoever lacks `salt`, and binds the authorisation to one person."""
    return digest(_LABEL, salt, identity)


def subject_reference(key: bytes, recipient: str, identity: bytes) -> bytes:
    """Pairwise pseudonym of a person at one recipient (HMAC-SHA-256); only the ledger has `key`."""
    return hmac.digest(
        key, join(b"accord.reference.v1", recipient.encode(), hashlib.sha256(identity).digest()), "sha256"
    )
