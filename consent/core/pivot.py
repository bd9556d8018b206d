"""The identity an identity provider vouches for (FranceConnect's *identité pivot*), beside the one an agreement is about."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from exchange.core.identity import Identity

_SEX = {"male": "M", "female": "F"}
FRANCE = "99100"


def matches(identity: Identity, claims: Mapping[str, object]) -> bool:
    """Whether these userinfo claims (`family_name`, `given_name`, `birthdate`, `gender`, `birthplace`, `birthcountry`) are of this
    person. Case and composition of letters do not count; a claim that is empty proves nothing and matches nothing but an empty field."""
    pairs = (
        (identity.nom_naissance, claims.get("family_name")),
        (" ".join(identity.prenoms), claims.get("given_name")),
        (identity.date_naissance, claims.get("birthdate")),
        (identity.sexe_etat_civil, _SEX.get(str(claims.get("gender")), "")),
        (identity.code_cog_insee_commune_naissance, claims.get("birthplace")),
        (identity.code_cog_insee_pays_naissance or FRANCE, claims.get("birthcountry") or FRANCE),
    )
    return all(_plain(ours) == _plain(theirs) for ours, theirs in pairs)


def _plain(value: object) -> str:
    return unicodedata.normalize("NFC", str(value or "")).casefold().strip()
