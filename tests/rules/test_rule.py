"""The grammar of rules, what they answer, and who may sign them: values only."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core import note
from consent.keys import ephemeral
from exchange import rules
from exchange.core import rule
from exchange.core.rule import BadRule
from tests.rules.rules import QF, TABLE, UNDER_650, VALUE, document, signed

YEAR = {"field": "quotient_familial.annee", "is": "=", "value": 2026}
CITY = {"field": "adresse.code_postal_ville", "is": "in", "value": ["99100 NULLEPART", "99200 AILLEURS"]}
BURSAR = {"field": "statut_boursier.est_boursier", "is": "=", "value": True}
MONTHS = {"field": "periode_versement_bourse.duree", "is": ">=", "value": "9.5"}
KEYS = ephemeral("accord.test/rules")
SCHEMA = {
    "type": "record", "name": "R", "fields": [
        {"name": "r", "scope": "s", "type": ["null", {"type": "record", "name": "In", "fields": [
            {"name": "n", "type": ["null", "long"]}, {"name": "x", "type": ["null", "double"]}, {"name": "b", "type": ["null", "boolean"]},
            {"name": "t", "type": ["null", "string"]}, {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["U", "V"]}},
            {"name": "many", "type": {"type": "array", "items": "long"}},
        ]}]},
    ],
}  # fmt: skip


def said(ask: Any, data: dict[str, Any], data_set: str = QF) -> str:
    return rule.answer(rules.read(document(ask, data_set)), data)


def quotient(valeur: Any, **more: Any) -> dict[str, Any]:
    return {"quotient_familial": {"valeur": valeur} | more}


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [("<=", 649, "true"), ("<=", 650, "true"), ("<=", 651, "false"), ("<", 649, "true"), ("<", 650, "false"), (">=", 650, "true"),
     (">=", 649, "false"), (">", 650, "false"), (">", 651, "true"), ("=", 650, "true"), ("=", 651, "false"), ("<=", -3, "true"),
     ("<=", 0, "true")],
)  # fmt: skip
def test_a_number_is_compared(operator: str, value: int, expected: str) -> None:
    """Each operator holds on its side of the bound, and at the bound as it says."""
    assert said({"field": VALUE, "is": operator, "value": 650}, quotient(value)) == expected


@pytest.mark.parametrize(("value", "label"), [(-1, "A"), (400, "A"), (401, "B"), (650, "B"), (651, "C"), (10**9, "C")])
def test_a_table_gives_the_bracket(value: int, label: str) -> None:
    """A bound belongs to its bracket; beyond the last one is above."""
    assert said(TABLE, quotient(value)) == label


@pytest.mark.parametrize("data", [{}, {"quotient_familial": None}, {"quotient_familial": {}}, quotient(None)])
@pytest.mark.parametrize("ask", [UNDER_650, TABLE, {"all": [UNDER_650, UNDER_650]}, {"any": [UNDER_650, UNDER_650]}])
def test_what_is_not_told_is_unknown(ask: Any, data: dict[str, Any]) -> None:
    """A field that is absent, null, or in a part that is: unknown, never a guess."""
    assert said(ask, data) == "unknown"


def test_an_unknown_part_counts_only_where_it_decides() -> None:
    """Kleene: no is no in `all`, yes is yes in `any`, whatever the unknown part would have been."""
    for word, decided in (("all", "false"), ("any", "true")):
        for year in (2025, 2026):
            known = "true" if year == 2026 else "false"
            assert said({word: [UNDER_650, YEAR]}, quotient(None, annee=year)) == (
                decided if known == decided else "unknown"
            )


@pytest.mark.parametrize(
    ("children", "expected"), [([{}] * 3, "true"), ([{}] * 2, "false"), ([], "false"), (None, "unknown")]
)
def test_a_list_counts_as_its_length(children: Any, expected: str) -> None:
    """Three children or more: how many, never who."""
    assert said({"field": "enfants", "is": ">=", "value": 3}, {"enfants": children}) == expected


def test_truths_texts_and_reals_are_compared_as_they_are() -> None:
    """A truth is one, a text is one of several, a real number is the decimal that was written."""
    bursar = "cnous.etudiant-boursier.v1"
    assert said(BURSAR, {"statut_boursier": {"est_boursier": True}}, bursar) == "true"
    assert said(BURSAR, {"statut_boursier": {"est_boursier": False}}, bursar) == "false"
    assert said(CITY, {"adresse": {"code_postal_ville": "99200 AILLEURS"}}) == "true"
    assert said(CITY, {"adresse": {"code_postal_ville": "12"}}) == "false"
    for value, expected in ((9.5, "true"), (9.4999, "false"), (10, "true"), (9, "false")):
        assert said(MONTHS, {"periode_versement_bourse": {"duree": value}}, bursar) == expected


@given(st.integers(-(10**9), 10**9), st.integers(0, 999_999))
def test_a_decimal_bound_is_exact(whole: int, millionths: int) -> None:
    """A real number and the same number as text are equal: no binary fraction comes between them."""
    text = f"{whole}.{millionths:06}"
    if whole == 0 or float(text) == 0:
        return
    asked = rule.loads(document({"field": "r.x", "is": "=", "value": text}))
    rule.fit(asked, SCHEMA)
    shown = {"r": {"x": float(text)}}
    assert rule.answer(asked, shown) == "true"


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_exact_to_the_last_digit(value: int, bound: int) -> None:
    """No float is made of a whole number, however large."""
    asked = rule.loads(document({"field": "r.n", "is": "<=", "value": bound}))
    assert rule.answer(asked, {"r": {"n": value}}) == ("true" if value <= bound else "false")


@pytest.mark.parametrize(
    "ask",
    [
        None, [], {}, "x", {"field": VALUE}, {"field": VALUE, "is": "<=", "value": 650, "else": 1}, {"field": VALUE, "is": "!=", "value": 1},
        {"field": VALUE, "is": "<=", "value": 650.0}, {"field": VALUE, "is": "<=", "value": None}, {"field": VALUE, "is": "<=", "value": [650]},
        {"field": VALUE, "is": "<=", "value": True}, {"field": VALUE, "is": "<=", "value": "650"}, {"field": VALUE, "is": "<=", "value": 2**63},
        {"field": VALUE, "is": "in", "value": []}, {"field": VALUE, "is": "in", "value": 650}, {"field": VALUE, "is": "in", "value": [1] * 33},
        {"field": "quotient_familial", "is": "=", "value": 1}, {"field": "quotient_familial.nope", "is": "=", "value": 1},
        {"field": "enfants", "is": "=", "value": True}, {"field": "enfants.sexe", "is": "=", "value": "F"}, {"field": "", "is": "=", "value": 1},
        {"field": "__class__", "is": "=", "value": 1}, {"field": "quotient_familial.valeur.real", "is": "=", "value": 1},
        {"field": "adresse.pays", "is": "<=", "value": "A"}, {"field": "adresse.pays", "is": "=", "value": 1},
        {"field": "adresse.pays", "is": "=", "value": ""}, {"field": "adresse.pays", "is": "=", "value": "a\nb"},
        {"all": [UNDER_650]}, {"all": [UNDER_650] * 9}, {"all": UNDER_650}, {"all": [UNDER_650, YEAR], "any": [UNDER_650, YEAR]},
        {"not": [UNDER_650, YEAR]}, {"all": [{"any": [{"all": [YEAR, YEAR]}, YEAR]}, YEAR]}, {"all": [TABLE, YEAR]},
        TABLE | {"brackets": []}, TABLE | {"brackets": TABLE["brackets"][::-1]}, TABLE | {"above": "A"}, TABLE | {"above": "unknown"},
        TABLE | {"above": ""}, TABLE | {"above": "x" * 61}, TABLE | {"brackets": [{"to": "four", "label": "A"}]}, TABLE | {"field": "adresse.pays"},
        TABLE | {"brackets": [{"to": n, "label": f"L{n}"} for n in range(17)]}, TABLE | {"brackets": [{"to": 1, "label": "true"}]},
        TABLE | {"brackets": [{"to": "1.50", "label": "A"}]}, TABLE | {"brackets": [{"to": True, "label": "A"}]},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_grammar_does_not_say_is_no_rule(ask: Any) -> None:
    """Other keys, operators, kinds, paths, sizes or depths than the grammar's: refused when it is read, not when it is computed."""
    with pytest.raises(BadRule):
        rules.read(document(ask))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""}, {"name": "Pas Un Nom"}, {"name": 1}, {"name": "x" * 61}, {"data_set": "cnaf.nope.v1"}, {"data_set": 1}, {"doc": {"fr": "x"}},
        {"doc": {"fr": "x", "en": "y", "de": "z"}}, {"doc": {"fr": "", "en": "y"}}, {"doc": {"fr": "x\u202ey", "en": "y"}}, {"doc": {"fr": "x" * 301, "en": "y"}},
        {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_says_what_it_is_in_both_languages(changes: dict[str, Any]) -> None:
    """A name, a data set of the catalogue, and words that can be printed as they are, in French and in English."""
    with pytest.raises(BadRule):
        rules.read(document(UNDER_650, **changes))


def test_french_typography_is_printable() -> None:
    """No-break spaces before a sign are words as people read them."""
    assert rules.read(document(UNDER_650, doc={"fr": "650\u00a0€\u202f?", "en": "x"})).fr == "650\u00a0€\u202f?"


@pytest.mark.parametrize("text", ["", "[", "[" * 5_000, "NaN", '{"name": 1, "name": 2}', "x" * 9_000, "1e9", "\ud800"])
def test_text_that_is_no_document_is_no_rule(text: str) -> None:
    """Not JSON, too deep, too large, a key twice, a number that is not whole."""
    with pytest.raises(BadRule):
        rules.read(text)


def test_a_rule_has_one_form() -> None:
    """However it is laid out it is one document, with one hash; only that form is taken when it comes signed."""
    written = document(UNDER_650)
    asked = rules.read(written)
    assert rules.read(json.dumps(json.loads(written), indent=4)).hash == asked.hash
    assert rule.parse(asked.text) == asked
    for other in (written, asked.text.strip(), asked.text + "\n", asked.text.replace(":", ": ", 1)):
        with pytest.raises(BadRule):
            rule.parse(other)
    registrar = ephemeral("accord.test/rules")
    loose = note.sign(written + "\n", rules.signer(registrar.origin), registrar.registrar).encode()
    with pytest.raises(BadRule):
        rules.open_signed(loose, rules.verifier(registrar.origin, registrar.registrar.public_key().public_bytes_raw()))


def test_a_rule_is_what_the_registrar_signed() -> None:
    """Opened by its signature under the bus's own name; not by another registrar, name or text, nor cut, nor unsigned."""
    registrar = KEYS.registrar.public_key().public_bytes_raw()
    data, by = signed(UNDER_650, KEYS), rules.verifier(KEYS.origin, registrar)
    asked = rules.open_signed(data, by)
    assert asked.hash == rule.rule_hash(data) == rules.unverified(data).hash
    somebody = rules.verifier(KEYS.origin, ephemeral("x").registrar.public_key().public_bytes_raw())
    for bytes_, verifier in (
        (data, somebody), (data, note.Verifier(KEYS.origin, registrar)), (data.replace(b"650", b"651"), by), (data[:-9], by),
        (asked.text.encode(), by), (b"", by), (b"\xff" * 80, by), (data + b"\n" * 5_000, by),
    ):  # fmt: skip
        with pytest.raises(BadRule):
            rules.open_signed(bytes_, verifier)


@given(st.binary(max_size=300))
def test_no_bytes_are_a_rule_by_chance(data: bytes) -> None:
    """Whatever the bytes are, a reader gets a rule or BadRule, and a hash."""
    by = rules.verifier(KEYS.origin, KEYS.registrar.public_key().public_bytes_raw())
    with pytest.raises(BadRule):
        rules.open_signed(data, by)
    assert len(rule.rule_hash(data)) == (32 if data else 0)


def test_the_shipped_rules_suit_their_data_sets() -> None:
    """Each is named by its file, reads one scope, and can answer more than unknown."""
    shipped = rules.shipped()
    assert {
        "quotient-familial-650",
        "tranche-quotient-familial",
        "etudiant-boursier",
        "a-jour-urssaf",
    } <= shipped.keys()
    for name, text in shipped.items():
        asked = rules.read(text)
        assert asked.name == name and len(rules.scopes_of(asked)) == 1
        assert len(asked.results) >= 3 and rule.in_short(asked.question)


def test_the_guide_shows_a_rule() -> None:
    """The rule of docs/how-to/rule.md is one, and each form it shows suits its data set."""
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "rule.md").read_text("utf-8")
    (shown,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert rules.read(shown).name == "famille-nombreuse"
    forms = [json.loads(form) for form in re.findall(r'`(\{"field".*?\})`', text)]
    assert len(forms) == 2
    for form, data_set in zip(forms, ("cnous.etudiant-boursier.v1", QF), strict=True):
        rules.read(document(form, data_set))
