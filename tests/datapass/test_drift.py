"""The ledger and the open data, compared."""

from __future__ import annotations

import csv
import io

import pytest

from consent.core.facts import Habilitation
from exchange.core.datapass.drift import API, LEGAL, SCOPES, SIRET, BadTable, compare, definition_of, read
from exchange.core.datapass.mapping import entitlements
from tests.datapass import calls
from tests.datapass.calls import ALL, CANTEEN, OTHER, QF, RECIPIENT, RULES

NOW_MS = 1_800_000_000_000
HEADERS = [
    "Fournisseur de l'API ou service",
    API,
    SIRET,
    "Dénomination de l'unité légale du demandeur",
    SCOPES,
    LEGAL,
    "Date de validation",
]


def table(*rows: tuple[str, str, str, str], headers: list[str] = HEADERS) -> io.StringIO:
    """The open CSV with these (API, SIRET, scopes, legal basis)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, headers)
    writer.writeheader()
    for api, siret, scopes, legal in rows:
        known = {API: api, SIRET: siret, SCOPES: scopes, LEGAL: legal, "Date de validation": "2026-01-02"}
        writer.writerow({name: known.get(name, "x") for name in headers})
    text.seek(0)
    return text


def held(
    recipient: str = RECIPIENT,
    scopes: list[str] = ALL,
    legal: str = "CRPA L114-8",
    purpose: str = CANTEEN,
    days: int = 1,
) -> Habilitation:
    return Habilitation(recipient, QF, purpose, tuple(scopes), legal, NOW_MS + days)


def kinds(lines: io.StringIO, *ledger: Habilitation, recipients: frozenset[str] | None = None) -> list[tuple[str, str]]:
    wanted = entitlements(read(lines).rights, RULES, calls.SCOPES)
    return [(one.kind, one.key[0]) for one in compare(wanted, ledger, RULES, recipients, NOW_MS)]


def test_no_drift() -> None:
    """Where both say the same, in whatever order of columns and scopes, nothing is reported."""
    row = ("APIParticulier", RECIPIENT, ", ".join(reversed(ALL)), calls.LEGAL)
    assert kinds(table(row), held()) == []
    assert kinds(table(row, headers=HEADERS[::-1]), held()) == []


def test_each_drift() -> None:
    """Missing here, extra here, other scopes, another legal basis: one line each."""
    row = ("APIParticulier", RECIPIENT, ", ".join(ALL), calls.LEGAL)
    assert kinds(table(row)) == [("missing", RECIPIENT)]
    assert kinds(table(), held()) == [("extra", RECIPIENT)]
    assert kinds(table(row), held(scopes=ALL[:1])) == [("scopes", RECIPIENT)]
    assert kinds(table(row), held(scopes=ALL[:1], legal="autre")) == [
        ("scopes", RECIPIENT),
        ("legal_reference", RECIPIENT),
    ]


def test_what_is_over_is_not_held() -> None:
    """A revoked habilitation and one past its end are missing where DataPass has them, and no extra where it has not."""
    row = ("APIParticulier", RECIPIENT, ", ".join(ALL), calls.LEGAL)
    for over in (held(scopes=[]), held(days=0)):
        assert kinds(table(row), over) == [("missing", RECIPIENT)]
        assert kinds(table(), over) == []


def test_only_what_the_mapping_opens() -> None:
    """Other APIs in the open data, other purposes in the ledger: nothing to compare."""
    assert kinds(table(("APIEntreprise", RECIPIENT, "open_data", "x")), held(purpose="aide-sociale")) == []


def test_of_the_recipients_asked() -> None:
    """The open data are about all of France: those unknown here are left out."""
    lines = [("APIParticulier", siret, ", ".join(ALL), calls.LEGAL) for siret in (RECIPIENT, OTHER)]
    assert kinds(table(*lines), held(), recipients=frozenset({RECIPIENT})) == []
    assert kinds(table(*lines), held()) == [("missing", OTHER)]


def test_lines_without_siret_are_counted() -> None:
    """A line whose SIRET is empty or wrong is left aside by its number; the others count."""
    found = read(
        table(
            ("APIParticulier", "", "a", ""),
            ("APIParticulier", RECIPIENT, "a", ""),
            ("APIParticulier", "13002526500014", "a", ""),
        )
    )
    assert found.aside == (2, 4) and len(found.rights) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        ",".join(HEADERS[:5]),
        f'{",".join(HEADERS)}\nx,APIParticulier,{RECIPIENT},"{"a" * 200_000}",,,\n',
    ],
)
def test_what_is_no_open_csv(text: str) -> None:
    """Empty, of other columns, with a field too large: BadTable rather than a ledger full of extras."""
    with pytest.raises(BadTable):
        read(io.StringIO(text, newline=""))


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("APIParticulier", "api_particulier"),
        ("APIImpotParticulier", "api_impot_particulier"),
        ("FormulaireQF", "formulaire_qf"),
        ("LeTaxi", "le_taxi"),
    ],
)
def test_a_definition_by_its_class(name: str, definition: str) -> None:
    """The open data name a class where the API names a definition."""
    assert definition_of(name) == definition
