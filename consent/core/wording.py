"""Words of the consent record that people read, in French and English: purposes, channels, roles. Slugs unknown here are shown as
they are."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """One text in both languages."""

    fr: str
    en: str


PURPOSES = {
    "tarification-cantine": Words("calculer le tarif de la cantine", "set the price of school meals"),
    "tarification-periscolaire": Words("calculer le tarif de l'accueil périscolaire", "set the price of after-school care"),
}  # fmt: skip
CHANNELS = {
    "online": Words("en ligne, par la personne elle-même", "online, by the person"),
    "counter": Words("au guichet, avec l'aide d'un agent", "at the counter, with the help of an agent"),
    "phone": Words("par téléphone, avec l'aide d'un agent", "by phone, with the help of an agent"),
    "paper": Words("sur papier, saisi par un agent", "on paper, entered by an agent"),
}
REPRESENTATIONS = {
    "parent": Words("un parent, au nom de son enfant mineur", "a parent, for a child under age"),
    "mandate": Words("une personne mandatée", "a person holding a mandate"),
}
ASSURANCES = {
    "eidas1": Words("faible (eIDAS)", "low (eIDAS)"),
    "eidas2": Words("substantiel (eIDAS)", "substantial (eIDAS)"),
    "eidas3": Words("élevé (eIDAS)", "high (eIDAS)"),
}
SCOPES_EN = {
    "cnaf_quotient_familial": "The family quotient",
    "cnaf_allocataires": "Identity of the beneficiary and of their spouse",
    "cnaf_enfants": "Identity of the children, those of the current month",
    "cnaf_adresse": "Address of the family",
}
"""English for scopes whose schema says it in French."""

RIGHTS = {
    "A7-3": Words("retirer votre accord", "withdraw your consent"),
    "A15": Words("accéder à vos données", "access your data"),
    "A16": Words("les faire rectifier", "have them rectified"),
    "A17": Words("les faire effacer", "have them erased"),
    "A18": Words("en faire limiter l'usage", "restrict their use"),
    "A21": Words("vous opposer", "object"),
    "A77": Words("réclamer auprès de la CNIL", "complain to the CNIL"),
}
"""Data subject rights, by article of the GDPR (DPV's names, `eu-gdpr:`)."""


def purpose(slug: str) -> Words:
    plain = slug.replace("-", " ")
    return PURPOSES.get(slug, Words(plain, plain))


def scope(name: str, french: str) -> Words:
    """A scope in words; `french` is what its schema says, empty where it says nothing."""
    return Words(french or name, SCOPES_EN.get(name, french or name))
