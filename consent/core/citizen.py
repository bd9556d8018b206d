"""What a person is shown of their own agreements: values only."""

from __future__ import annotations

import unicodedata

from consent.core.facts import Acknowledgement, State, Submission, Terms, Value
from exchange.core.identity import Identity


class Agreement(Value, frozen=True):
    """An agreement as the person it is about sees it, nobody named in it; as the parent who gave it sees it, `about` is what their child is
    called. `at_ms`: when it was last asked for, given, refused or
    renewed; `operator` publishes for the recipient; `by_another`: somebody spoke for the person (`parent`, `mandate`, or nobody);
    `acknowledged`: the ledger's word on what closed it."""

    id: bytes
    state: State
    terms: Terms
    operator: str
    channel: str
    at_ms: int
    uses: int
    by_another: str = ""
    acknowledged: Acknowledgement | None = None
    about: str = ""


class Use(Value, frozen=True):
    """A request made under an agreement: when it ended and how (`code`, `reason` as in an outcome), which scopes the State was asked for
    (none where it was not called), and how the answer was delivered (`consent.core.query.delivery`)."""

    request: bytes
    at_ms: int
    code: str
    reason: str
    provider_code: str
    scopes: tuple[str, ...]
    delivery: str


class Preview(Value, frozen=True):
    """An answer that waits for its person to let it through, as they are shown it: which request, which scopes the State was asked for,
    when it was last asked, until when it may be let through. What it says is sealed, and shown to nobody here."""

    submission: Submission
    scopes: tuple[str, ...]
    asked_at_ms: int
    deadline_ms: int


def same_person(recorded: Identity, vouched: Identity) -> bool:
    """Whether an agent recorded this very person by hand: birth date, name and first given name, letters only; what else is told on both
    sides agrees."""
    told = (
        (recorded.sexe_etat_civil, vouched.sexe_etat_civil),
        (recorded.code_cog_insee_pays_naissance, vouched.code_cog_insee_pays_naissance),
        (recorded.code_cog_insee_commune_naissance, vouched.code_cog_insee_commune_naissance),
    )
    return (
        recorded.date_naissance == vouched.date_naissance
        and _letters(recorded.nom_naissance) == _letters(vouched.nom_naissance)
        and _letters("".join(recorded.prenoms[:1])) == _letters("".join(vouched.prenoms[:1]))
        and all(not one or not other or one == other for one, other in told)
    )


def _letters(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in plain if letter.isalpha())
