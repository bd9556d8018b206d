"""What each objection says to a person, French first."""

from __future__ import annotations

from consent.core.importing.drafts import Objection

_o = Objection

TEXTS: dict[Objection, tuple[str, str]] = {
    _o.NOT_AN_ARTEFACT: ("ni un accord JSON-LD 27560, ni un artefact Account Aggregator", "neither a 27560 JSON-LD record nor an Account Aggregator artefact"),
    _o.PROFILE_UNKNOWN: ("profil ou version inconnus", "unknown profile or version"),
    _o.NOT_GIVEN: ("accord demandé, refusé, retiré ou suspendu : il n'est pas donné", "requested, refused, withdrawn or paused: it is not given"),
    _o.BASIS_NOT_CONSENT: ("la base légale n'est pas le consentement", "the legal basis is not consent"),
    _o.EXPIRED: ("accord expiré", "the consent has expired"),
    _o.VALIDITY: ("début ou fin de validité absents, illisibles ou sans limite", "start or end of validity missing, unreadable or without limit"),
    _o.RECIPIENT_UNKNOWN: ("destinataire sans SIRET ni correspondance", "a recipient without SIRET or mapping"),
    _o.RECIPIENT_OTHER: ("accord donné à une autre collectivité", "given to another collectivity"),
    _o.DATA_SET_UNKNOWN: ("jeu de données inconnu du catalogue", "data set unknown to the catalogue"),
    _o.PURPOSE_UNKNOWN: ("finalité inconnue", "unknown purpose"),
    _o.SCOPE_UNKNOWN: ("donnée inconnue du jeu de données", "data that the data set does not have"),
    _o.SCOPE_MISSING: ("aucune donnée désignée", "no data named"),
    _o.MODE: ("mode de consultation que le bus n'a pas (flux, requête)", "a mode that the bus does not have (stream, query)"),
    _o.FREQUENCY: ("fréquence absente, illimitée ou trop élevée pour un nombre d'usages", "frequency missing, unlimited or too high for a number of uses"),
    _o.USED_UP: ("nombre d'usages déjà atteint", "its uses are exhausted"),
    _o.DATA_LIFE: ("durée de conservation absente, illimitée ou d'unité inconnue", "data life missing, unlimited or in an unknown unit"),
    _o.DATA_FILTER: ("filtre sur les valeurs, que le bus ne sait pas appliquer", "a filter on values, which the bus cannot apply"),
    _o.DATA_RANGE: ("période des données, que le bus ne sait pas borner", "a range of the data, which the bus cannot bound"),
    _o.ACCOUNTS: ("accord limité à certains comptes, que le bus ne distingue pas", "limited to some accounts, which the bus does not tell apart"),
    _o.NOTICE_MISSING: ("aucune notice d'information", "no information notice"),
    _o.REPRESENTED: ("accord donné par un représentant, à recueillir de nouveau", "given by a representative: to be collected anew"),
    _o.ASSURANCE: ("niveau d'identification exigé, qu'un import ne prouve pas", "a level of identification that an import does not prove"),
    _o.SIGNATURE_UNREADABLE: ("artefact signé illisible", "an unreadable signed artefact"),
}  # fmt: skip
