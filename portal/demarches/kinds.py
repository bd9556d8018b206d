"""What a démarche needs, why, and what it makes of the answer: one row each. To make yours, copy a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from consent.core.wording import Words
from portal.core.tariffs import Tariff, canteen, creche

DAY_MS = 86_400_000


class Demarche(NamedTuple):
    """One démarche for a family. `scopes` are the least that will do: the connector leaves the rest at the State's."""

    slug: str
    title: Words
    needs: Words
    why: Words
    paper: Words
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    tariff: Callable[[Mapping[str, Any]], Tariff | None]


FAMILIES = (
    Demarche(
        "creche", Words("Inscrire mon enfant à la crèche", "Enrol my child at the crèche"),
        Words("le revenu annuel et le nombre d'enfants connus de votre CAF ou MSA", "the yearly income and number of children known to your CAF or MSA"),
        Words("calculer le prix de l'heure, selon le barème national", "compute the price of an hour, by the national scale"),
        Words("votre avis d'imposition et votre livret de famille", "your tax notice and your family record book"),
        "cnaf.participation-familiale-eaje.v1", "tarification-creche", ("cnav_participation_familiale_eaje_parametres_calcul",), creche,
    ),
    Demarche(
        "cantine", Words("Inscrire mon enfant à la cantine", "Enrol my child for school meals"),
        Words("votre quotient familial, connu de votre CAF ou MSA", "your quotient familial, known to your CAF or MSA"),
        Words("calculer le prix du repas", "compute the price of a meal"),
        Words("votre attestation de quotient familial", "your quotient familial certificate"),
        "cnaf.quotient-familial.v1", "tarification-cantine", ("cnaf_quotient_familial",), canteen,
    ),
)  # fmt: skip
NOTICE_VERSION = "marche-2026-1"
LEGAL_REFERENCE = "CRPA L114-8"
NOTICE = Words(
    "Pour examiner votre candidature, la collectivité demande à l'Insee, à la DGFiP et à l'Urssaf, d'après votre seul SIRET, l'identité de l'entreprise, "
    "son chiffre d'affaires, son attestation fiscale et son attestation de vigilance. La loi le prévoit (CRPA, article L114-8) : vous n'avez pas à les fournir. "
    "Ces réponses servent à ce marché seulement et sont gardées un an. Vous pouvez vous y opposer auprès du service des marchés.",
    "To examine your application, the collectivity asks Insee, DGFiP and Urssaf, from your SIRET alone, for the company's identity, its turnover, its tax "
    "certificate and its certificate of social contributions. The law says so (CRPA, article L114-8): you need not provide them. These answers serve "
    "this contract only and are kept for a year. You may object to the procurement office.",
)
NOTICE_HASH = sha256(NOTICE.fr.encode()).digest()
