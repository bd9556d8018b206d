"""What a connector promises to the bus, whatever the State API behind it.

The contract of ``StateApi.fetch``:

* one call of ``fetch`` is one HTTP call about someone at most (an access token that ended is fetched before it): retries
  belong to the agent, which alone knows the deadline of the request;
* it returns a ``Reading`` within its own time limit and never raises (cancellation excepted);
* it asks about the given person and nothing else: a parameter its data set does not document is refused
  before any call;
* it says ``Found`` only of an answer that has the documented types and is about the person asked;
* nothing personal goes into a log, an error, a ``code`` or a ``cause``. ``Found.data`` and the ``title`` of the
  State's own words are for sealing, never for logging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Cause = Literal[
    "client",  # our own side could not build or send the call
    "content_type",
    "forbidden",
    "garbage",
    "identity",  # the identity lacks what this State API needs to designate someone
    "network",
    "parameter",
    "provider",  # the State cannot reach its own provider, and waiting will not help
    "recipient",
    "redirect",
    "schema",
    "state",  # the State itself asks to come back later
    "timeout",
    "token",
    "too_large",
    "unexpected",
    "wrong_person",
]
"""Why a call brought no answer: a closed list of words, safe to log and to write in the ledger."""


class Identity(Protocol):
    """The canonical identity of a person or of a company (protocol §6); an empty string is a field not given.

    ``date_naissance`` is ``YYYY-MM-DD`` where an unknown part is ``0000`` or ``00``; ``sexe_etat_civil`` is
    ``M``, ``F`` or empty; the codes are those of the Insee COG, as text.
    """

    @property
    def nom_naissance(self) -> str: ...
    @property
    def nom_usage(self) -> str: ...
    @property
    def prenoms(self) -> tuple[str, ...]: ...
    @property
    def date_naissance(self) -> str: ...
    @property
    def sexe_etat_civil(self) -> str: ...
    @property
    def code_cog_insee_pays_naissance(self) -> str: ...
    @property
    def code_cog_insee_commune_naissance(self) -> str: ...
    @property
    def nom_commune_naissance(self) -> str: ...
    @property
    def code_cog_insee_departement_naissance(self) -> str: ...
    @property
    def numero_fiscal(self) -> str: ...
    @property
    def ine(self) -> str: ...
    @property
    def identifiant_france_travail(self) -> str: ...
    @property
    def siret(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Found:
    """The State's ``data`` object, checked: documented fields only, about the person asked."""

    data: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotFound:
    """The State knows no such file (an answer, to be sealed). ``code`` is its 5-character code."""

    code: str
    title: str


@dataclass(frozen=True, slots=True)
class StateRefusal:
    """The State refuses to answer about this person or this request (an answer, to be sealed)."""

    code: str
    title: str


@dataclass(frozen=True, slots=True)
class Retry:
    """No answer yet; the same call may succeed later.

    ``after_s`` is the wait the State asks for in seconds (0 = it asks none; up to 172 800 has been seen);
    ``code`` is its 5-character code, empty when none was read.
    """

    code: str
    after_s: float
    cause: Cause = "state"


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer, and the same call would fail again. ``code`` is the State's, empty when it gave none."""

    code: str
    cause: Cause


Reading = Found | NotFound | StateRefusal | Retry | Failure


class StateApi(Protocol):
    """A State API, as the connector's agent sees it (see the module for the contract)."""

    async def fetch(self, data_set: str, identity: Identity, recipient: str, parameters: Mapping[str, str]) -> Reading:
        """Ask once for one data set about one person, for one recipient (SIRET), with the ask's own parameters."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...
