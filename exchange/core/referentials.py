"""Numbers and codes that designate organisations, people and purposes, checked where they enter the bus (codes of places, which need a
date: `exchange.core.cog`)."""

from __future__ import annotations

import re
from typing import NamedTuple

from stdnum.fr import nir, siren, siret

_NIR = re.compile(r"[123478]\d{2}(0[1-9]|1[0-2]|[23]\d|4[0-2]|[5-9]\d)(\d{2}|2[AB])\d{8}", re.ASCII)


class Purpose(NamedTuple):
    """Why data are asked: what a person reads, and the nearest purpose of the W3C Data Privacy Vocabulary (the vocabulary that our
    ISO/IEC TS 27560 records use)."""

    fr: str
    en: str
    dpv: str


PURPOSES = {
    "tarification-cantine": Purpose("tarif de la cantine", "school meals tariff", "dpv:PersonalisedBenefits"),
    "tarification-periscolaire": Purpose("tarif de l'accueil périscolaire", "after-school care tariff", "dpv:PersonalisedBenefits"),
    "tarification-creche": Purpose("tarif de la crèche", "crèche tariff", "dpv:PersonalisedBenefits"),
    "tarification-transport": Purpose("tarif des transports", "transport tariff", "dpv:PersonalisedBenefits"),
    "aide-sociale": Purpose("aide sociale facultative", "discretionary social aid", "dpv:PersonalisedBenefits"),
    "marche-public": Purpose("examen d'une candidature à un marché public", "vetting of a candidate for a public contract", "dpv:VendorSelectionAssessment"),
}  # fmt: skip

USUAL = ("tarification-cantine", "tarification-periscolaire")
_SOCIAL, _TENDER = ("tarification-transport", "aide-sociale"), ("marche-public",)
_PURPOSES_OF = {
    "cnaf.participation-familiale-eaje.v1": ("tarification-creche",),
    "cnaf.complementaire-sante.v1": _SOCIAL,
    "cnous.etudiant-boursier.v1": _SOCIAL,
    "cnous.etudiant-boursier.v2": _SOCIAL,
    "france-travail.statut.v1": _SOCIAL,
    "insee.unite-legale.v1": _TENDER,
    "insee.etablissement.v1": _TENDER,
    "dgfip.chiffres-affaires.v1": _TENDER,
    "dgfip.attestation-fiscale.v1": _TENDER,
    "urssaf.attestation-vigilance.v1": _TENDER,
    "marche-public.candidature.v1": _TENDER,
}


def purposes_of(data_set: str) -> tuple[str, ...]:
    """What a data set is asked for where nobody says otherwise, the first by default; an habilitation may name another purpose."""
    return _PURPOSES_OF.get(data_set, USUAL)


def is_purpose(code: str) -> bool:
    return code in PURPOSES


def is_siren(text: str) -> bool:
    """Nine digits with their Luhn key, nothing else."""
    return _digits(text, 9) and bool(siren.is_valid(text))


def is_siret(text: str) -> bool:
    """Fourteen digits: the Luhn key of SIREN and SIRET, or for La Poste's establishments digits that add up to a multiple of five."""
    return _digits(text, 14) and bool(siret.is_valid(text))


def is_nir(text: str) -> bool:
    """A person's number at the RNIPP: fifteen characters with their key, `2A` and `2B` counted as 19 and 18; month 20 and more where it
    is not known (INSEE's rules). The number itself goes into no message."""
    return bool(_NIR.fullmatch(text)) and bool(nir.is_valid(text))


def _digits(text: str, count: int) -> bool:
    return len(text) == count and text.isascii() and text.isdigit()
