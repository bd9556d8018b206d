from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Failure, Found, Identity, NotFound, Reading, Retry, StateRefusal
from connectors.core import reading
from connectors.core.call import ParameterRefused, call
from connectors.core.minimise import minimise
from connectors.core.person import plain
from connectors.core.rules import check_identity
from connectors.rest.descriptions import descriptions
from exchange.core.shape import scopes_of

SIRET = "13002526500013"
QF = descriptions()["cnaf.quotient-familial.v1"]
SCOPES = {field["scope"]: field["name"] for field in QF.schema["fields"]}
JSON = {"content-type": "application/vnd.api+json; charset=utf-8"}


@dataclass(frozen=True)
class Person:
    nom_naissance: str = "TREVARIN"
    nom_usage: str = ""
    prenoms: tuple[str, ...] = ("Maëlle",)
    date_naissance: str = "1988-04-12"
    sexe_etat_civil: str = "F"
    code_cog_insee_pays_naissance: str = "99100"
    code_cog_insee_commune_naissance: str = "35238"
    nom_commune_naissance: str = ""
    code_cog_insee_departement_naissance: str = ""
    numero_fiscal: str = ""
    ine: str = ""
    identifiant_france_travail: str = ""
    siret: str = ""


MAELLE = Person()


def query(identity: Person, recipient: str, parameters: dict[str, str]) -> list[tuple[str, str]]:
    return call(QF, identity, recipient, parameters).query


def interpret(status: int, headers: dict[str, str], body: bytes, identity: Person) -> Reading:
    return reading.interpret(QF, status, headers, body, identity)


def family(**changes: Any) -> dict[str, Any]:
    person = {
        "nom_naissance": "TREVARIN",
        "nom_usage": "OSTREVANT",
        "prenoms": "MAËLLE SOLÈNE",
        "date_naissance": "1988-04-12",
        "sexe": "F",
    }
    month = {"annee": 2026, "mois": 11, "annee_calcul": 2026, "mois_calcul": 11}
    quotient = {"fournisseur": "CNAF", "valeur": 742, **month}
    address = dict.fromkeys(("destinataire", "numero_libelle_voie", "lieu_dit", "code_postal_ville", "pays"))
    data = {"quotient_familial": quotient, "allocataires": [person], "enfants": [], "adresse": address}
    return {**data, **changes}


def someone(**changes: Any) -> dict[str, Any]:
    return {**family()["allocataires"][0], **changes}


def answered(data: object, identity: Person = MAELLE) -> Reading:
    return interpret(200, JSON, json.dumps({"data": data, "links": {}, "meta": {}}).encode(), identity)


def refused(status: int, code: str, meta: object = None, **headers: str) -> Reading:
    error = {"code": code, "title": "Titre", "detail": "d", "source": None, "meta": meta or {}}
    return interpret(status, JSON | headers, json.dumps({"errors": [error]}).encode(), MAELLE)


def test_query_names_and_order() -> None:
    """A full identity becomes the contract's parameters, given names repeated and at most three."""
    person = replace(MAELLE, nom_usage="OSTREVANT", prenoms=("Maëlle", "Solène", "Inès", "Rose"))
    assert query(person, SIRET, {"annee": "2025", "mois": "3"}) == [
        ("recipient", SIRET),
        ("nomNaissance", "TREVARIN"),
        ("nomUsage", "OSTREVANT"),
        ("prenoms[]", "Maëlle"),
        ("prenoms[]", "Solène"),
        ("prenoms[]", "Inès"),
        ("anneeDateNaissance", "1988"),
        ("moisDateNaissance", "4"),
        ("jourDateNaissance", "12"),
        ("sexeEtatCivil", "F"),
        ("codeCogInseePaysNaissance", "99100"),
        ("codeCogInseeCommuneNaissance", "35238"),
        ("annee", "2025"),
        ("mois", "3"),
    ]


@pytest.mark.parametrize(
    ("born", "sent"),
    [
        ("1979-04-00", {"anneeDateNaissance": "1979", "moisDateNaissance": "4"}),
        ("1971-00-00", {"anneeDateNaissance": "1971"}),
        ("1971-00-12", {"anneeDateNaissance": "1971"}),
        ("0000-00-00", {}),
        ("", {}),
    ],
)
def test_unknown_birth_parts_are_left_out(born: str, sent: dict[str, str]) -> None:
    """An unknown part of the birth date is not sent, nor what the State would ignore without it."""
    pairs = query(replace(MAELLE, date_naissance=born), SIRET, {})
    assert {name: value for name, value in pairs if "DateNaissance" in name} == sent


def test_birth_place_forms() -> None:
    """A birth abroad has no commune; in France, the name and département serve where the code is not given."""
    abroad = replace(MAELLE, code_cog_insee_pays_naissance="99350")
    named = replace(
        MAELLE,
        code_cog_insee_commune_naissance="",
        nom_commune_naissance="Rennes",
        code_cog_insee_departement_naissance="35",
    )
    assert not any("Commune" in name for name, _ in query(abroad, SIRET, {}))
    assert ("nomCommuneNaissance", "Rennes") in query(named, SIRET, {})
    assert ("codeCogInseeDepartementNaissance", "35") in query(named, SIRET, {})


@pytest.mark.parametrize(
    "parameters",
    [
        {"nomNaissance": "AUTRE"},
        {"prenoms[]": "Autre"},
        {"recipient": SIRET},
        {"annee": "2025&nomNaissance=AUTRE"},
        {"annee": "20"},
        {"mois": "13"},
        {"mois": "0"},
        {"mois": "3\n"},
        {"annee": "٢٠٢٥"},
    ],
)
def test_extra_parameter_is_refused(parameters: dict[str, str]) -> None:
    """An ask cannot add to the query anything but a month, and the error repeats nothing of it."""
    with pytest.raises(ParameterRefused) as refusal:
        query(MAELLE, SIRET, parameters)
    assert not any(value in str(refusal.value) for value in parameters.values())


@pytest.mark.parametrize(
    ("status", "code", "reading"),
    [
        (404, "35003", NotFound("35003", "Titre")),
        (404, "23003", NotFound("23003", "Titre")),
        (404, "10003", NotFound("10003", "Titre")),
        (404, "37003", NotFound("37003", "Titre")),
        (404, "99999", Failure("99999", "unexpected")),
        (422, "00355", StateRefusal("00355", "Titre")),
        (422, "00366", StateRefusal("00366", "Titre")),
        (422, "00353", StateRefusal("00353", "Titre")),
        (422, "00356", StateRefusal("00356", "Titre")),
        (422, "00203", Failure("00203", "recipient")),
        (422, "00210", Failure("00210", "recipient")),
        (451, "01005", StateRefusal("01005", "Titre")),
        (409, "00015", Retry("00015", 0.0)),
        (409, "37015", StateRefusal("37015", "Titre")),
        (429, "00429", Retry("00429", 0.0)),
        (502, "37999", Retry("37999", 0.0)),
        (504, "37001", Retry("37001", 0.0)),
        (504, "37002", Retry("37002", 0.0)),
        (504, "37008", Retry("37008", 0.0)),
        (502, "37006", Failure("37006", "provider")),
        (502, "37009", Failure("37009", "provider")),
        (401, "00101", Failure("00101", "token")),
        (401, "00103", Failure("00103", "token")),
        (403, "00100", Failure("00100", "forbidden")),
        (400, "00000", Failure("00000", "unexpected")),
        (410, "00410", Failure("00410", "unexpected")),
        (500, "00500", Failure("00500", "unexpected")),
        (302, "", Failure("", "redirect")),
        (206, "00010", Failure("00010", "unexpected")),
    ],
)
def test_each_state_error(status: int, code: str, reading: Reading) -> None:
    """Each status and code of the State has one meaning, and keeps its five characters."""
    assert refused(status, code) == reading


UNREADABLE = [b"", b"<html>", b"\xff\xfe", b"[" * 200_000, b'{"errors":[]}', b'{"errors":[{"code":7}]}']


@pytest.mark.parametrize("body", UNREADABLE)
@pytest.mark.parametrize(
    ("status", "reading"),
    [
        (404, Failure("", "unexpected")),
        (422, Failure("", "unexpected")),
        (409, Failure("", "unexpected")),
        (429, Retry("", 0.0)),
        (503, Retry("", 0.0)),
    ],
)
def test_error_without_a_readable_body(status: int, reading: Reading, body: bytes) -> None:
    """A 404 or 422 that does not speak the contract is never taken for the State's word about a person."""
    assert interpret(status, {}, body, MAELLE) == reading


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "9" * 400}, 999_999_999_999.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:09 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:09 GMT"}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], after_s: float) -> None:
    """``Retry-After`` is honoured as a number or a date, and nonsense asks no wait."""
    assert refused(429, "00429", None, **headers) == Retry("00429", after_s)


@pytest.mark.parametrize(
    ("retry_in", "after_s"), [(10, 10.0), (172_800, 172_800.0), (2.5, 2.5), (-1, 0.0), (10**400, 0.0), ("10", 0.0)]
)
def test_retry_in(retry_in: object, after_s: float) -> None:
    """``meta.retry_in`` gives the wait, up to the 48 hours a manual review may take."""
    assert refused(504, "00501", {"retry_in": retry_in}) == Retry("00501", after_s)


def test_retry_in_wins_over_the_status() -> None:
    """Whatever the status, the State that says when to come back is not done answering."""
    assert refused(500, "04501", {"retry_in": 172_800}) == Retry("04501", 172_800.0)


def test_found_keeps_the_states_data() -> None:
    """A good answer is the State's ``data``, nulls included, without what its contract does not document."""
    assert answered(family()) == Found(family())
    assert answered(family(salaires=[1], adresse={**family()["adresse"], "gps": "x"})) == Found(family())


@pytest.mark.parametrize("hidden", ["quotient_familial", "allocataires", "enfants", "adresse"])
def test_fewer_scopes_than_asked(hidden: str) -> None:
    """A scope the token lacks removes its key, and what remains is still an answer."""
    data = {root: value for root, value in family().items() if root != hidden}
    assert answered(data) == Found(data)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"autre": 1},
        family(quotient_familial={**family()["quotient_familial"], "valeur": "742"}),
        family(quotient_familial={**family()["quotient_familial"], "valeur": True}),
        family(quotient_familial={**family()["quotient_familial"], "fournisseur": "URSSAF"}),
        family(quotient_familial={"valeur": 742}),
        family(allocataires=[]),
        family(allocataires=someone()),
        family(enfants=[someone(date_naissance="12/04/1988")]),
        family(enfants=[someone(sexe="X")]),
        family(adresse="14 RUE DES TILLEULS"),
    ],
)
def test_answer_outside_the_contract(data: object) -> None:
    """An answer whose types are not those of the contract is a failure, not data."""
    assert answered(data) == Failure("", "schema")


def test_200_that_is_no_answer() -> None:
    """A 200 of another type, cut short, or holding errors is never an answer."""
    assert interpret(200, {"content-type": "text/html"}, b"<html>", MAELLE) == Failure("", "content_type")
    assert interpret(200, {}, b"{}", MAELLE) == Failure("", "content_type")
    for body in (b"", b'{"data": {', b"\xff"):
        assert interpret(200, JSON, body, MAELLE) == Failure("", "garbage")
    assert isinstance(interpret(200, JSON, b"[" * 200_000, MAELLE), Failure)
    assert interpret(200, JSON, b'{"errors": [{"code": "35003"}]}', MAELLE) == Failure("", "schema")


@given(st.binary(max_size=200), st.integers(100, 599))
def test_any_bytes_are_read(body: bytes, status: int) -> None:
    """No body and no status make ``interpret`` raise, and none is an answer by chance."""
    assert not isinstance(interpret(status, JSON, body, MAELLE), Found)


@pytest.mark.parametrize(
    "person",
    [
        someone(),
        someone(nom_naissance="Trévarin", nom_usage=None, prenoms="maelle"),
        someone(nom_naissance="TRE VARIN", prenoms="SOLÈNE MAELE"),
        someone(date_naissance="1978-04-12"),
        someone(date_naissance="0000-00-00"),
        someone(prenoms="INCONNUE"),
        someone(nom_naissance="AUTRE", nom_usage="TREVARIN"),
    ],
)
def test_same_person_in_the_states_spelling(person: dict[str, Any]) -> None:
    """Accents, order, one wrong given name or one wrong date do not make another person."""
    assert isinstance(answered(family(allocataires=[someone(nom_naissance="AUTRE"), person])), Found)


@pytest.mark.parametrize(
    "person",
    [
        someone(nom_naissance="AUTRE"),
        someone(nom_naissance=None, nom_usage=None),
        someone(prenoms="GWENDAL", date_naissance="1986-09-03"),
        someone(prenoms="GWENDAL", date_naissance="1988-04-00"),
        someone(prenoms=None, date_naissance=None),
    ],
)
def test_somebody_else(person: dict[str, Any]) -> None:
    """Another name, or one name with neither given name nor birth date, is a wrong person: nothing is returned."""
    assert answered(family(allocataires=[person])) == Failure("", "wrong_person")


def test_asked_person_only_among_the_children() -> None:
    """A child who bears the name asked does not make the answer about the person asked."""
    data = family(allocataires=[someone(nom_naissance="AUTRE", nom_usage=None)], enfants=[someone()])
    assert answered(data) == Failure("", "wrong_person")


@pytest.mark.parametrize("born", ["", "0000-00-00", "1988-00-00"])
def test_little_known_birth_proves_nothing(born: str) -> None:
    """Without a month of birth, only the given name can tell two people of one family name."""
    asked = replace(MAELLE, date_naissance=born, prenoms=("Gwendal",))
    assert answered(family(), asked) == Failure("", "wrong_person")


def test_empty_names_are_not_equal() -> None:
    """Names without a letter match nobody."""
    asked = replace(MAELLE, nom_naissance="-", prenoms=())
    data = family(allocataires=[someone(nom_naissance="'", nom_usage="")])
    assert answered(data, asked) == Failure("", "wrong_person")


def test_compound_given_name_without_its_hyphen() -> None:
    """``JEAN MARC`` answers to ``Jean-Marc``."""
    asked = replace(MAELLE, prenoms=("Jean-Marc",), date_naissance="")
    assert isinstance(answered(family(allocataires=[someone(prenoms="PAUL JEAN MARC")]), asked), Found)


def test_plain_names() -> None:
    """A bare name has letters only: no accent, ligature, hyphen, apostrophe or typographic apostrophe."""
    assert [plain(name) for name in ("Lœuillet-d’Été", "L'HÉRITIER", None)] == ["LOEUILLETDETE", "LHERITIER", ""]


@pytest.mark.parametrize(
    ("annee", "mois", "code"),
    [("2026", "11", ""), ("2026", "12", "00354"), ("2027", "1", "00353"), ("2024", "1", ""), ("2023", "12", "00356")],
)
def test_month_the_sandbox_serves(annee: str, mois: str, code: str) -> None:
    """The State serves the months of this year and the two before, never a month to come."""
    refusal = check_identity(query(MAELLE, SIRET, {"annee": annee, "mois": mois}), date(2026, 11, 21))
    assert (refusal.code if refusal else "") == code


def test_readings_show_no_personal_data() -> None:
    """The text of a reading, which may reach a log, holds nothing of the family."""
    assert "TREVARIN" not in repr(answered(family()))


def test_each_scope_opens_one_key() -> None:
    """One scope opens one root key; an unknown scope opens nothing."""
    for scope, root in SCOPES.items():
        assert minimise(QF.schema, family(), frozenset((scope,))) == {root: family()[root]}
    assert minimise(QF.schema, family(), frozenset(("cnaf_salaires", "quotient_familial", ""))) == {}
    assert minimise(QF.schema, family(), frozenset(SCOPES)) == family()
    assert scopes_of(QF.schema) == SCOPES.keys() and set(SCOPES.values()) == family().keys()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("valeur", "pays", "secret")), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from((*family(), "secret")), JSON_VALUES),
    st.frozensets(st.sampled_from((*SCOPES, "secret", "*"))),
)
def test_nothing_outside_the_scopes_leaves(data: dict[str, Any], scopes: frozenset[str]) -> None:
    """Whatever the answer, only opened root keys leave, with documented fields, of plain values."""
    kept = minimise(QF.schema, data, scopes)
    assert kept.keys() <= {SCOPES[scope] for scope in scopes & SCOPES.keys()} & data.keys()
    for value in kept.values():
        for item in value if isinstance(value, list) else [value]:
            assert "secret" not in item
            assert not any(isinstance(part, dict | list) for part in item.values())


def test_a_test_person_has_the_identity_fields() -> None:
    """The identity these tests use has every field the protocol lists, and no other."""
    assert {item.name for item in fields(Person)} == {name for name in vars(Identity) if not name.startswith("_")}
