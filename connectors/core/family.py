"""The answer of API Particulier ``quotient_familial/identite`` as its contract documents it.

Source: API Particulier OpenAPI v3, path ``/v3/dss/quotient_familial/identite``, response 200. A scope the token
lacks removes its root key, so each may be absent. The person and address fields may be null where the contract
says only "string": the State's code turns a blank into null (``cnav/*/build_resource.rb``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Text = str | UnsetType | None
Date = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
"""``YYYY-MM-DD``; an unknown day or month is ``00``, a blank date ``0000-00-00``."""


class Person(Struct, frozen=True):
    """An allocataire or a child; ``prenoms`` is one string, names apart by a space."""

    nom_naissance: Text = UNSET
    nom_usage: Text = UNSET
    prenoms: Text = UNSET
    date_naissance: Date | UnsetType | None = UNSET
    sexe: Literal["M", "F"] | UnsetType | None = UNSET


class Address(Struct, frozen=True):
    """A declared postal address, in the lines of La Poste."""

    destinataire: Text = UNSET
    complement_information: Text = UNSET
    complement_information_geographique: Text = UNSET
    numero_libelle_voie: Text = UNSET
    lieu_dit: Text = UNSET
    code_postal_ville: Text = UNSET
    pays: Text = UNSET


class Quotient(Struct, frozen=True):
    """The quotient familial of one month; ``valeur`` in euros, as computed by the CNAF or the MSA."""

    fournisseur: Literal["CNAF", "MSA"]
    valeur: int
    annee: int
    mois: int
    annee_calcul: int | UnsetType | None = UNSET
    mois_calcul: int | UnsetType | None = UNSET


class Family(Struct, frozen=True):
    """The ``data`` object. An answer with allocataires names at least one (``minItems: 1``)."""

    quotient_familial: Quotient | UnsetType = UNSET
    allocataires: Annotated[list[Person], Meta(min_length=1)] | UnsetType = UNSET
    enfants: list[Person] | UnsetType = UNSET
    adresse: Address | UnsetType = UNSET


class Envelope(Struct, frozen=True):
    """``{data, links, meta}``; only ``data`` is read."""

    data: Family


class ErrorItem(Struct, frozen=True):
    """One item of ``errors[]``; ``meta.retry_in`` is a number of seconds."""

    code: str
    title: str = ""
    meta: dict[str, object] | None = None


class ErrorBody(Struct, frozen=True):
    """The error body of API Particulier v3: ``{"errors": [...]}`` (not RFC 9457)."""

    errors: Annotated[list[ErrorItem], Meta(min_length=1)]
