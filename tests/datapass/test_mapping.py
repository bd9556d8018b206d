"""From DataPass's words to the ledger's, and what must be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.facts import Habilitation
from exchange.core.datapass.events import Right
from exchange.core.datapass.mapping import (
    DAY_MS,
    BadMapping,
    Entitlement,
    Key,
    Legal,
    Line,
    Rules,
    check,
    entitlements,
    legal_reference,
    plan,
)
from exchange.datapass.desk import MAPPING, read_rules
from tests.datapass.calls import ALL, CANTEEN, LEGAL, OTHER, QF, RECIPIENT, RULES, SCOPES

NOW_MS, LIFE_MS = 1_800_000_000_000, 400 * DAY_MS
KEY: Key = (RECIPIENT, QF, CANTEEN)
HELD = st.builds(
    Habilitation, st.sampled_from([RECIPIENT, OTHER]), st.just(QF), st.just(CANTEEN),
    st.sets(st.sampled_from(ALL)).map(lambda s: tuple(sorted(s))), st.sampled_from(["CRPA L114-8", "autre"]),
    st.integers(NOW_MS - LIFE_MS, NOW_MS + LIFE_MS),
)  # fmt: skip
WANTED = st.dictionaries(
    st.sampled_from([KEY, (OTHER, QF, CANTEEN)]),
    st.builds(Entitlement, st.sets(st.sampled_from(ALL), min_size=1).map(lambda s: tuple(sorted(s))), st.sampled_from(["CRPA L114-8", "autre"])),
)  # fmt: skip


def right(scope: str, recipient: str = RECIPIENT, definition: str = "api_particulier", legal: str = LEGAL) -> Right:
    return Right(recipient, definition, scope, legal)


def held(scopes: tuple[str, ...] = ("cnaf_enfants",), not_after_ms: int = NOW_MS + LIFE_MS) -> Habilitation:
    return Habilitation(*KEY, scopes, "CRPA L114-8", not_after_ms)


def test_rights_of_all_demandes_add_up() -> None:
    """Two demandes' scopes are one habilitation; scopes of other data sets and definitions open nothing."""
    rights = [
        right("cnaf_enfants"),
        right("cnaf_adresse"),
        right("men_regime_pensionnat"),
        right("cnaf_allocataires", definition="api_entreprise"),
    ]
    assert entitlements(rights, RULES, SCOPES) == {KEY: Entitlement(("cnaf_adresse", "cnaf_enfants"), "CRPA L114-8")}


def test_renamed_scopes_and_excluded_recipients() -> None:
    """A scope with another name at DataPass is ours by its renaming; an excluded recipient gets nothing."""
    rules = Rules((Line("d", QF, (CANTEEN,), {"qf": "cnaf_quotient_familial"}),), excluded=(OTHER,))
    rights = [right("qf", definition="d"), right("qf", OTHER, "d")]
    assert entitlements(rights, rules, SCOPES) == {KEY: Entitlement(("cnaf_quotient_familial",), LEGAL)}


@pytest.mark.parametrize("text", ["L114-8", "article L.114-8", "ARTICLE L 114\N{NON-BREAKING HYPHEN}8 du CRPA"])
def test_one_text_written_in_many_ways(text: str) -> None:
    """Spaces, dots, capitals and hyphens aside, it is one reference; what no line knows keeps its own words."""
    assert legal_reference(text, RULES) == "CRPA L114-8"
    assert legal_reference("délibération du 3 mai", RULES) == "délibération du 3 mai"


@pytest.mark.parametrize(
    ("wanted", "known", "reason"),
    [
        (Entitlement(("cnaf_enfants",), "CRPA L114-8"), None, "approved"), (Entitlement(("cnaf_enfants",), "CRPA L114-8"), held(()), "approved"),
        (Entitlement(("cnaf_enfants",), "CRPA L114-8"), held(not_after_ms=NOW_MS), "approved"),
        (Entitlement(("cnaf_adresse",), "CRPA L114-8"), held(), "changed"), (Entitlement(("cnaf_enfants",), "autre"), held(), "changed"),
        (Entitlement(("cnaf_enfants",), "CRPA L114-8"), held(not_after_ms=NOW_MS + DAY_MS), "renewed"), (None, held(), "revoked"),
        (Entitlement(("cnaf_enfants",), "CRPA L114-8"), held(), None), (None, held(()), None), (None, None, None),
    ],
)  # fmt: skip
def test_what_is_written_and_why(wanted: Entitlement | None, known: Habilitation | None, reason: str | None) -> None:
    """New, ended before, over, other scopes, another text, due, taken back; and nothing where nothing differs."""
    acts = plan([KEY], {KEY: wanted} if wanted else {}, [known] if known else [], NOW_MS, LIFE_MS)
    assert [act.reason for act in acts] == ([reason] if reason else [])
    for act in acts:
        assert bool(act.habilitation.scopes) == (reason != "revoked")


@given(WANTED, st.lists(HELD, max_size=2, unique_by=lambda h: h.recipient))
def test_what_is_written_is_enough_and_no_more(wanted: dict[Key, Entitlement], known: list[Habilitation]) -> None:
    """Once written the ledger holds exactly what is wanted, for these keys; planning again writes nothing; ends come first."""
    keys = {KEY, (OTHER, QF, CANTEEN)}
    acts = plan(keys, wanted, known, NOW_MS, LIFE_MS)
    after = {(h.recipient, h.data_set, h.purpose): h for h in [*known, *(act.habilitation for act in acts)]}
    live = {
        k: Entitlement(h.scopes, h.legal_reference) for k, h in after.items() if h.scopes and h.not_after_ms > NOW_MS
    }
    assert live == wanted
    assert plan(keys, wanted, after.values(), NOW_MS, LIFE_MS) == []
    takes = [act.reason in ("revoked", "changed") for act in acts]
    assert takes == sorted(takes, reverse=True)
    assert plan([], wanted, known, NOW_MS, LIFE_MS) == []


def test_the_mapping_that_comes_along() -> None:
    """It opens the quotient familial to API Particulier, under the text that all its forms cite."""
    rules = read_rules(MAPPING, SCOPES)
    found = entitlements([right(scope) for scope in ALL], rules, SCOPES)
    assert found[KEY] == Entitlement(tuple(ALL), "CRPA L114-8")


LINE = {"definition": "d", "data_set": QF, "purposes": [CANTEEN]}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "habilitations: {}", ": :", "\xff", "!!python/object:os.system {}", "habilitations: []\nextra: 1",
     f"habilitations: [{LINE | {'data_set': 'x'}}]", f"habilitations: [{LINE | {'purposes': []}}]", f"habilitations: [{LINE | {'purposes': ['x']}}]",
     f"habilitations: [{LINE | {'scopes': {'a': 'b'}}}]", "habilitations: []\nvalidity_days: 0", "habilitations: []\nexcluded: ['1']"],
)  # fmt: skip
def test_a_mapping_that_names_what_is_not_there(tmp_path: Path, text: str) -> None:
    """Not YAML, other fields, unknown data set, purpose or scope, no validity, no SIRET: BadMapping."""
    (tmp_path / "mapping.yml").write_text(text, encoding="latin-1")
    with pytest.raises(BadMapping):
        read_rules(tmp_path / "mapping.yml", SCOPES)


def test_checking_a_good_mapping_changes_nothing() -> None:
    """It is given back as it is."""
    rules: Any = Rules((Line("d", QF, (CANTEEN,)),), (Legal("a", "b"),), 1, (OTHER,))
    assert check(rules, SCOPES) is rules
