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
    "tarification-creche": Words("calculer le tarif de la crèche", "set the price of the crèche"),
    "tarification-transport": Words("calculer le tarif des transports", "set the price of transport"),
    "aide-sociale": Words("instruire une aide sociale facultative", "examine a request for discretionary social aid"),
    "marche-public": Words("examiner une candidature à un marché public", "examine a candidate for a public contract"),
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
    "cnav_participation_familiale_eaje_allocataires": "Identity of the beneficiary and of their spouse",
    "cnav_participation_familiale_eaje_enfants": "Identity of the children",
    "cnav_participation_familiale_eaje_adresse": "Address of the family",
    "cnav_participation_familiale_eaje_parametres_calcul": "What the crèche tariff is computed from",
    "complementaire_sante_solidaire": "Whether the person has complementary health cover (C2S), and since when",
    "cnous_statut_boursier": "Whether the student holds a bursary",
    "cnous_periode_versement": "When the bursary is paid",
    "cnous_ville_etudes": "Where the student studies",
    "cnous_echelon_bourse": "Level of the bursary",
    "cnous_email": "E-mail address",
    "cnous_identite": "Identity of the student",
    "pole_emploi_identifiant": "France Travail number",
    "pole_emploi_identite": "Identity of the jobseeker",
    "pole_emploi_contact": "Telephone numbers and e-mail address",
    "pole_emploi_adresse": "Address",
    "pole_emploi_inscription": "Registration as a jobseeker",
    "dgfip_rfr": "Reference tax income, in euros",
    "dgfip_nbpart": "Number of tax shares of the household",
    "dgfip_sitfam": "Family situation declared for tax",
    "dgfip_pac": "Dependants of the household",
    "dgfip_pac_nbPac": "Number of dependants, nothing more",
    "dgfip_aft": "Address for tax, on 1 January",
    "dgfip_nmNaiDec1": "Birth name of the first declarant",
    "dgfip_nmUsaDec1": "Usage name of the first declarant",
    "dgfip_prnmDec1": "Given names of the first declarant",
    "dgfip_nmNaiDec2": "Birth name of the second declarant",
    "dgfip_nmUsaDec2": "Usage name of the second declarant",
    "dgfip_prnmDec2": "Given names of the second declarant",
    "unites_legales_etablissements_insee": "The company and its establishment in the Sirene register",
    "chiffre_affaires_dgfip": "Turnover of the last financial years",
    "attestation_sociale_urssaf": "Certificate of social contributions (Urssaf)",
    "attestation_fiscale_dgfip": "Tax certificate (DGFiP)",
}
"""English for scopes whose schema says it in French."""
SCOPES_FR = {
    "complementaire_sante_solidaire": "Bénéfice de la complémentaire santé solidaire (C2S), et depuis quand",
    "unites_legales_etablissements_insee": "L'entreprise et son établissement au répertoire Sirene",
    "attestation_sociale_urssaf": "L'attestation de vigilance de l'Urssaf",
    "attestation_fiscale_dgfip": "L'attestation fiscale de la DGFiP",
}
"""French for scopes that open several fields: the doc of one of them would not say it."""

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


def watched(every_ms: int) -> Words:
    """What agreeing to be watched at this period means; rounded so that it never promises to be rarer than it is."""
    days, hours = every_ms // 86_400_000, max(1, every_ms // 3_600_000)
    often = Words("par jour", "a day") if days == 1 else Words(f"tous les {days} jours", f"every {days} days")
    if not days:
        often = (
            Words("par heure", "an hour") if hours == 1 else Words(f"toutes les {hours} heures", f"every {hours} hours")
        )
    return Words(
        f"et chaque fois que la réponse change, au plus une fois {often.fr}",
        f"and whenever the answer changes, at most once {often.en}",
    )


def scope(name: str, french: str) -> Words:
    """A scope in words; `french` is what its schema says, empty where it says nothing."""
    told = SCOPES_FR.get(name, french or name)
    return Words(told, SCOPES_EN.get(name, told))
