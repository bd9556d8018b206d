"""What commands say of how an agreement was collected and of its terms. What concerns people is read from files, never from the
command line."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from consent.core.facts import Assurance, Channel, Evidence, Representation
from exchange.cli import show
from exchange.cli.options import one_of
from exchange.core.identity import BadIdentity, Identity, canonical
from exchange.referentials import load, vetted

DAY_MS = 86_400_000

IdentityFile = Annotated[
    Path,
    typer.Option(
        "--identity", help="Fichier JSON aux noms de l'État (nomNaissance…), ou - / JSON file, or -", allow_dash=True
    ),
]
ChannelName = Annotated[
    str, typer.Option("--channel", help="Recueil : " + ", ".join(get_args(Channel)) + ". / Channel.")
]
Agent = Annotated[
    str, typer.Option("--agent", help="Référence de l'agent qui recueille. / The acting agent's reference.")
]
Proof = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        help="Pièce gardée ; seule son empreinte entre au registre. / Kept document: only its hash enters.",
    ),
]
Level = Annotated[
    str, typer.Option("--assurance", help="Niveau d'identification obtenu (eidas1 à 3). / Level obtained.")
]
Spoke = Annotated[
    Path | None,
    typer.Option(
        "--represented-by", help="Identité JSON de qui parle pour la personne. / Who speaks for the person, JSON."
    ),
]
As = Annotated[str, typer.Option("--as", help="À quel titre : parent ou mandate. / In what capacity.")]
Mandate = Annotated[
    Path | None,
    typer.Option(
        "--mandate", help="Livret de famille ou mandat ; son empreinte. / Family record or mandate; its hash."
    ),
]
Days = Annotated[int, typer.Option("--days", help="Durée de validité, en jours. / Validity, days.", min=1, max=3650)]
Uses = Annotated[int, typer.Option("--uses", help="Nombre d'usages au plus. / Uses at most.", min=1)]
WatchDays = Annotated[
    int,
    typer.Option(
        "--watch",
        help="Être prévenu d'un changement, au plus une fois tous les N jours ; 0 : non. / Be told of a change, at most every N days; 0: no.",
        min=0,
        max=366,
    ),
]
Life = Annotated[
    int,
    typer.Option(
        "--data-life-days", help="Conservation d'une réponse, en jours. / How long an answer is kept, days.", min=0
    ),
]
Legal = Annotated[str, typer.Option("--legal", help="Base légale : le texte (CRPA L114-8). / Legal basis: the text.")]
Notice = Annotated[
    Path | None, typer.Option("--notice", help="Notice d'information montrée. / Information notice shown.")
]
NoticeVersion = Annotated[str, typer.Option("--notice-version", help="Version de la notice. / Its version.")]
Required = Annotated[str, typer.Option("--require", help="Niveau d'identification exigé. / Level required.")]


def read_identity(path: Path, option: str = "--identity") -> Identity:
    """The identity in a JSON file of the State's parameter names."""
    try:
        body = json.loads(sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8"))
        if not isinstance(body, dict):
            raise ValueError
        return Identity.from_wire(body)
    except BadIdentity:
        raise
    except (OSError, ValueError):
        raise typer.BadParameter(show.tr("fichier JSON illisible", "unreadable JSON file"), param_hint=option) from None


def read_vetted(path: Path, root: Path, option: str = "--identity") -> Identity:
    """The same, as it enters the bus of the data directory `root`: BadIdentity names the field of a place that was none at the birth."""
    return vetted(read_identity(path, option), load(root))


def representation(spoke: Path | None, as_: str, mandate: Path | None, root: Path) -> Representation | None:
    """Who speaks for the person, from a command's options."""
    if spoke is None:
        return None
    kind: Literal["parent", "mandate"] = (
        "mandate" if one_of(as_, ("parent", "mandate"), "--as") == "mandate" else "parent"
    )
    return Representation(kind, canonical(read_vetted(spoke, root, "--represented-by")), _hash(mandate, "--mandate"))


def evidence(
    channel: str, agent: str, proof: Path | None, level: str, represented: Representation | None = None
) -> Evidence:
    """How the act was collected, from a command's options."""
    return Evidence(
        one_of(channel, get_args(Channel), "--channel"), agent, _hash(proof, "--evidence"),  # type: ignore[arg-type]  # one of them
        one_of(level, get_args(Assurance), "--assurance"), represented,  # type: ignore[arg-type]  # one of them
    )  # fmt: skip


def terms_changes(
    now_ms: int,
    days: int,
    uses: int,
    life: int,
    legal: str,
    notice: Path | None,
    version: str,
    required: str,
    watch: int,
) -> dict[str, object]:
    """What a command's options change in the usual terms."""
    return {
        "not_after_ms": now_ms + days * DAY_MS, "max_uses": uses, "data_life_days": life, "basis": "legal" if legal else "consent",
        "legal_reference": legal, "notice_hash": _hash(notice, "--notice"), "notice_version": version,
        "assurance": one_of(required, get_args(Assurance), "--require"),
        "watch_every_ms": watch * DAY_MS,
    }  # fmt: skip


def _hash(path: Path | None, option: str) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest() if path else b""
    except OSError:
        raise typer.BadParameter(show.tr("fichier illisible", "unreadable file"), param_hint=option) from None
