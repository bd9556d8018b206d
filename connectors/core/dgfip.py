"""The gateway of the DGFiP, API Impôt particulier and SFiP, as a sandbox keeps it: who may call, and what it says of a bad call.

Source: the two swagger files; the body of an error is SFiP's, ``{"erreur": {code, message, horodatage}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

SFIP = "/sfip/"
IMPOT = "/impotparticulier/"
TOKEN_PATH = "/token"  # noqa: S105  # a path
SCOPES = "RessourceIR sfip_donnees_fiscales_usagers"
"""What a token must open: SituationsIrAssiettesV1 and service2aa."""

CORRELATION = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
SPI = re.compile(r"[0-9]{13}", re.ASCII)
YEAR = re.compile(r"20[0-9]{2}", re.ASCII)
BIRTH = re.compile(r"(([0-9]{2}/)?[0-9]{2}/)?[0-9]{4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: HTTP status, the DGFiP's number (0: none) and its words."""

    status: int
    code: int
    message: str

    @property
    def body(self) -> bytes:
        """UTF-8 JSON."""
        said = {"code": self.code, "message": self.message, "horodatage": "2026-01-20T13:03:01"}
        return json.dumps({"erreur": said}, ensure_ascii=False).encode()


NO_TOKEN = Refusal(401, 0, "Jeton absent, inconnu ou expiré")
BAD_REQUEST = Refusal(400, 0, "Requete mal formée")
NO_TELESERVICE = Refusal(403, 4031, "L'utilisateur n'a pas accès à la ressource")
BAD_SPI = Refusal(400, 4001, "Mauvais format de spi")
BAD_YEAR = Refusal(400, 4002, "Mauvais format d'année")
BAD_VALUE = Refusal(400, 4003, "Un des paramètres en entrée est non conforme aux valeurs possibles")
NOBODY = Refusal(410, 4102, "Le spi envoyé ne correspond à aucun usager")
NOT_FOUND = Refusal(404, 40433, "Informations non disponibles pour la personne")


def is_gateway(path: str) -> bool:
    """Whether a path is one of the DGFiP's."""
    return path.startswith((SFIP, IMPOT))


def check_headers(path: str, headers: Mapping[str, str], media_type: str) -> Refusal | None:
    """What a call needs beside its token: a correlation id, the version it accepts, and for SFiP the téléservice that calls."""
    if not CORRELATION.fullmatch(headers.get("x-correlation-id", "")) or media_type not in headers.get("accept", ""):
        return BAD_REQUEST
    return NO_TELESERVICE if path.startswith(SFIP) and not headers.get("id_teleservice") else None


def unmet(path: str, values: Mapping[str, str]) -> Refusal:
    """What the gateway says where no case answers: a fault of the call, or nobody there."""
    if path.startswith(SFIP):
        known = values.get("sexe", "1") in ("1", "2") and BIRTH.fullmatch(values.get("naisDate", "2000"))
        return NOT_FOUND if known else BAD_VALUE
    if not SPI.fullmatch(values.get("spi", "")):
        return BAD_SPI
    return NOBODY if YEAR.fullmatch(values.get("annrev", "")) else BAD_YEAR
