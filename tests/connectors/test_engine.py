"""The engine of the YAML connectors: descriptions, calls, strict reading; and the descriptions against the State's own contracts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateRefusal
from connectors.core.call import IdentityLacks, ParameterRefused, call
from connectors.core.composition import Composition
from connectors.core.description import PLACEHOLDER, BadDescription, Description, describe
from connectors.core.documented import MISSING, Undocumented, pick, typed
from connectors.core.reading import interpret
from connectors.rest.descriptions import compositions, descriptions, load
from exchange.core.identity import Identity
from exchange.core.shape import scopes_of
from exchange.data_sets import DATA_SETS, PROVIDERS
from exchange.schemas import catalogue
from tests.connectors import impots
from tests.connectors.state_cases import ASKED, RECIPIENT

NAMES = list(descriptions())
STATED = [name for name in NAMES if name != impots.NAME]  # its errors are in test_impots
CONTRACTS = Path(__file__).parents[3] / "shared" / "contracts"
contracts_only = pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the State's contracts are not here (../shared)")
COMPANY = Identity(siret="90000001900019")
STUDENT = Identity("DELESTRADE", prenoms=("Nina",), date_naissance="2006-04-03", ine="0700000001A")
SHIPPED = Path(__file__).parents[2] / "connectors" / "rest" / "data_sets"


def said(name: str, status: int, body: object, identity: Identity = COMPANY, **headers: str) -> Reading:
    given = {"content-type": "application/json"} | headers
    return interpret(descriptions()[name], status, given, json.dumps(body).encode(), identity)


def error(code: str, **meta: object) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": "Titre", "detail": "d", "source": None, "meta": meta}]}


class TestCalls:
    """An identity and an ask become one call, or none."""

    def test_the_path_is_filled_and_the_query_ordered(self) -> None:
        """A company is in the path; recipient, then context and object, are the query."""
        asked = call(descriptions()["insee.unite-legale.v1"], COMPANY, RECIPIENT, ASKED)
        assert asked.path == "/v4/insee/sirene/unites_legales/900000019"
        assert asked.query == [("recipient", RECIPIENT), ("context", "marchés publics"), ("object", "2026-17")]

    def test_the_first_operation_that_can_be_asked_is(self) -> None:
        """A student is asked for by the national number where it is known, else by civil status."""
        description = descriptions()["cnous.etudiant-boursier.v1"]
        assert call(description, STUDENT, RECIPIENT, {"campaignYear": "2025"}).query == [
            ("recipient", RECIPIENT), ("ine", "0700000001A"), ("campaignYear", "2025"),
        ]  # fmt: skip
        assert call(description, replace(STUDENT, ine=""), RECIPIENT, {}).path == "/v4/cnous/etudiant_boursier/identite"

    @pytest.mark.parametrize("name", NAMES)
    def test_an_identity_that_designates_nobody_is_not_sent(self, name: str) -> None:
        """An identity of another kind makes no call."""
        description = descriptions()[name]
        with pytest.raises(IdentityLacks):
            call(
                description,
                Identity(numero_fiscal="3" * 13),
                RECIPIENT,
                ASKED if "context" in description.parameters else {},
            )

    @pytest.mark.parametrize(
        "parameters", [{}, {"context": "x"}, ASKED | {"siret": "x"}, ASKED | {"object": "a\nb"}, ASKED | {"object": ""}]
    )
    def test_context_and_object_are_required_and_nothing_else(self, parameters: dict[str, str]) -> None:
        """API Entreprise wants a context and an object; all else is refused before any call."""
        with pytest.raises(ParameterRefused):
            call(descriptions()["insee.etablissement.v1"], COMPANY, RECIPIENT, parameters)

    @pytest.mark.parametrize("year", ["2020", "20201", "abc", "2025 "])
    def test_campaign_years_begin_in_2021(self, year: str) -> None:
        """The contract's minimum holds before any call."""
        with pytest.raises(ParameterRefused):
            call(descriptions()["cnous.etudiant-boursier.v1"], STUDENT, RECIPIENT, {"campaignYear": year})


class TestReadings:
    """What API Entreprise and the other routes say is one reading, the State's code kept."""

    @pytest.mark.parametrize(
        ("status", "code", "reading"),
        [
            (404, "01003", NotFound("01003", "Titre")),
            (404, "04003", NotFound("04003", "Titre")),
            (451, "01005", StateRefusal("01005", "Titre")),
            (422, "00302", StateRefusal("00302", "Titre")),
            (422, "00201", Failure("00201", "recipient")),
            (422, "00202", Failure("00202", "recipient")),
            (422, "00211", Failure("00211", "recipient")),
            (409, "00015", Retry("00015", 0.0)),
            (502, "01999", Retry("01999", 0.0)),
            (504, "01004", Retry("01004", 0.0)),
            (403, "00100", Failure("00100", "forbidden")),
            (206, "01010", Failure("01010", "unexpected")),
        ],
    )
    def test_errors(self, status: int, code: str, reading: Reading) -> None:
        """Each code has one meaning, and is kept."""
        assert said("insee.etablissement.v1", status, error(code)) == reading

    def test_a_manual_review_is_a_wait_of_two_days(self) -> None:
        """``04501`` with its ``retry_in`` is no failure: the State will have answered in 48 hours."""
        assert said("urssaf.attestation-vigilance.v1", 502, error("04501", retry_in=172_800)) == Retry(
            "04501", 172_800.0
        )

    def test_a_200_that_refuses_is_an_answer(self) -> None:
        """A social certificate refused is found: it says ``refus_de_delivrance``."""
        status = {"code": "refus_de_delivrance", "libelle": "Refusée", "description": "Pas à jour"}
        reading = said(
            "urssaf.attestation-vigilance.v1", 200, {"data": {"entity_status": status, "document_url": None}}
        )
        assert reading == Found({"entity_status": status, "document_url": None})

    @pytest.mark.parametrize("data", [{"siret": "90000001900019"}, {"siret": "90000004300014"}])
    def test_a_redirection_of_sirene_is_followed_by_its_own_word(self, data: dict[str, Any]) -> None:
        """Another Siret is an answer only where ``meta`` says that the one asked leads there."""
        same = data["siret"] == COMPANY.siret
        assert isinstance(said("insee.etablissement.v1", 200, {"data": data}), Found) == same
        redirected = {"data": data, "meta": {"redirect_from_siret": COMPANY.siret}}
        assert isinstance(said("insee.etablissement.v1", 200, redirected), Found)

    @pytest.mark.parametrize("about", [{"identifiant": "un.autre"}, {"identifiant": ""}])
    def test_another_identifier_is_a_wrong_person(self, about: dict[str, Any]) -> None:
        """France Travail's answer names whom it is about; case does not count."""
        person = Identity(identifiant_france_travail="Bellegarde.Lise")
        assert said("france-travail.statut.v1", 200, {"data": about}, person) == Failure("", "wrong_person")
        same = {"data": {"identifiant": "bellegarde.lise"}}
        assert isinstance(said("france-travail.statut.v1", 200, same, person), Found)

    def test_another_student_is_a_wrong_person(self) -> None:
        """A student's answer is compared by name, given names being a list."""

        def answer(name: str, given: str) -> Reading:
            who = {"nom": name, "prenoms": [given], "date_naissance": "1999-01-01", "sexe": "F"}
            return said("cnous.etudiant-boursier.v1", 200, {"data": {"identite": who}}, STUDENT)

        assert isinstance(answer("DELESTRADE", "NINA"), Found)
        assert answer("DELESTRADE", "OLIVIA") == answer("AUTRE", "NINA") == Failure("", "wrong_person")

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("insee.etablissement.v1", {"etat_administratif": "A"}),
            ("insee.etablissement.v1", {"siret": "9000000190001"}),
            ("insee.etablissement.v1", {"siret": COMPANY.siret, "siege_social": 1}),
            ("insee.etablissement.v1", {"siret": COMPANY.siret, "etat_administratif": "X"}),
            ("insee.etablissement.v1", {"siret": COMPANY.siret, "date_creation": 1 << 63}),
            ("insee.unite-legale.v1", {"siren": "900000019", "activite_principale": []}),
            ("dgfip.chiffres-affaires.v1", {"chiffre_affaires": 1}),
            ("dgfip.chiffres-affaires.v1", [{"data": {"chiffre_affaires": "1"}}]),
            ("dgfip.chiffres-affaires.v1", [{"data": {"chiffre_affaires": True}}]),
            ("dgfip.chiffres-affaires.v1", [1]),
            ("dgfip.chiffres-affaires.v1", [{"donnee": 1}]),
            ("dgfip.attestation-fiscale.v1", {"document_url_expires_in": 5}),
            ("urssaf.attestation-vigilance.v1", {"entity_status": {"code": "peut-etre"}}),
            ("urssaf.attestation-vigilance.v1", {"document_url": "https://exemple.fr"}),
            ("cnaf.complementaire-sante.v1", {"est_beneficiaire": None, "avec_participation": True}),
            ("cnaf.complementaire-sante.v1", {"est_beneficiaire": True, "date_debut_droit": "01/02/2026"}),
        ],
    )
    def test_an_answer_outside_the_contract(self, name: str, data: Any) -> None:
        """Other types, other words or an absent essential are a failure, not data."""
        assert said(name, 200, {"data": data}) == Failure("", "schema")

    def test_a_number_without_end_is_no_number(self) -> None:
        """An infinite turnover is not data, whatever the JSON says."""
        for text in ("1e999", "-1e999", "NaN", "9" * 400):
            body = f'{{"data": [{{"data": {{"chiffre_affaires": {text}}}}}]}}'.encode()
            headers = {"content-type": "application/json"}
            assert isinstance(
                interpret(descriptions()["dgfip.chiffres-affaires.v1"], 200, headers, body, COMPANY), Failure
            )


class TestDocumented:
    """The strict reading of a JSON value by its Avro type."""

    def test_paths(self) -> None:
        """A path goes through objects, and with ``[]`` into each item of a list."""
        value = {"a": {"b": 1}, "l": [{"x": 1}, {"y": 2}], "n": None}
        assert [pick(value, path) for path in ("a.b", "l[].x", "a.c", "n.x", "z")] == [
            1,
            [1, MISSING],
            MISSING,
            None,
            MISSING,
        ]
        for path in ("a.b.c", "a[]", "a[].b"):
            with pytest.raises(Undocumented):
                pick(value, path)

    @pytest.mark.parametrize(
        ("schema", "value"),
        [("int", 1 << 31), ("int", 1.0), ("int", True), ("long", "1"), ("string", 1), ("boolean", 0), ("double", float("inf")), ("bytes", b"")],
    )  # fmt: skip
    def test_types(self, schema: str, value: Any) -> None:
        """A value of another type is undocumented; nothing is converted."""
        with pytest.raises(Undocumented):
            typed(schema, value)


class TestDescriptions:
    """The YAML files, against themselves and against the State's contracts."""

    def test_the_catalogue_is_the_descriptions(self) -> None:
        """The bus carries each data set described: its provider, its scopes, its parameters, and no other."""
        described: dict[str, Description | Composition] = {**descriptions(), **compositions()}
        assert DATA_SETS.keys() == described.keys()
        assert sorted({d.provider for d in described.values()}) == PROVIDERS
        for name, description in described.items():
            assert DATA_SETS[name].scopes == scopes_of(description.schema)
            assert name.startswith(description.provider + ".")

    @pytest.mark.parametrize("name", NAMES)
    def test_each_scope_is_said_in_words(self, name: str) -> None:
        """Each root field has one scope, the one its documentation ends with."""
        for field in catalogue().codec_of_data_set(name).schema["fields"]:
            assert field["doc"].endswith(f" Scope {field['scope']}.")

    @pytest.mark.parametrize(
        "change",
        [
            {"extra": 1}, {"about": None}, {"about": {"same": {}}}, {"about": {"same": {"inconnu": ["siret"]}}}, {"about": {"person": {"at": "x"}}}, {"operations": None},
            {"patterns": []}, {"patterns": {"siret": "("}}, {"roots": {"inconnue": "meta.x"}}, {"family": "autre"},
            {"data_set": "insee.inconnu.v1"}, {"parameters": {"object": {}}},
            {"operations": [{"id": "x", "path": "/{inconnu}", "needs": [], "query": {}}]},
        ],
    )  # fmt: skip
    def test_a_bad_description_is_refused(self, change: dict[str, Any]) -> None:
        """A description that names what does not exist, or leaves out what must be said, does not load."""
        good = yaml.safe_load((SHIPPED / "insee.etablissement.v1.yaml").read_text("utf-8"))
        assert load(yaml.safe_dump(good)).data_set == "insee.etablissement.v1"
        with pytest.raises(BadDescription):
            load(yaml.safe_dump(good | change))

    @pytest.mark.parametrize("said", [None, False, "true", 1])
    def test_a_preview_is_said_twice(self, said: Any) -> None:
        """Its schema asks for it: a description that does not say so in its one form does not load; nor one that asks alone."""
        good = yaml.safe_load((SHIPPED / "cnous.etudiant-boursier.v2.yaml").read_text("utf-8"))
        plain = yaml.safe_load((SHIPPED / "cnous.etudiant-boursier.v1.yaml").read_text("utf-8"))
        assert load(yaml.safe_dump(good)).data_set == "cnous.etudiant-boursier.v2"
        unsaid = {key: value for key, value in good.items() if key != "preview"}
        for bad in (good | {"preview": said}, unsaid, plain | {"preview": True}):
            with pytest.raises(BadDescription):
                load(yaml.safe_dump(bad))

    def test_what_is_not_a_mapping_is_no_description(self) -> None:
        """A list, a text or broken YAML is refused."""
        for text in ("[]", "x", "a: [", ""):
            with pytest.raises(BadDescription):
                load(text)
        with pytest.raises(BadDescription):
            describe([], {"fields": []})

    @contracts_only
    @pytest.mark.parametrize("name", NAMES)
    def test_calls_are_those_of_the_contract(self, name: str) -> None:
        """Every path is the State's, every parameter sent is documented, and every required one can be sent."""
        description = descriptions()[name]
        for operation in description.operations:
            documented = {
                item["name"]: item for item in _route(operation.path)["parameters"] if item["in"] in ("query", "path")
            }
            sent = (
                {wire for wire, _ in operation.query}
                | {*PLACEHOLDER.findall(operation.path)}
                | {*(description.parameters if operation.takes is None else operation.takes)}
            )
            assert sent <= documented.keys()
            assert {wire for wire, item in documented.items() if item.get("required")} <= sent

    @contracts_only
    @pytest.mark.parametrize("name", STATED)
    def test_each_documented_error_has_one_meaning(self, name: str) -> None:
        """Every error of the State's contract is read as something known, with the State's code."""
        description = descriptions()[name]
        told = 0
        for operation in description.operations:
            for status, code in _errors(_route(operation.path)):
                reading = said(name, status, error(code))
                assert not isinstance(reading, Found) and reading.code == code
                assert getattr(reading, "cause", "") != "unexpected", (status, code)
                told += 1
        assert told >= 6


def _route(path: str) -> dict[str, Any]:
    found = next(doc for doc in _contracts() if path in doc["paths"])
    route: dict[str, Any] = found["paths"][path]["get"]
    return route


def _contracts() -> list[dict[str, Any]]:
    if not _LOADED:
        _LOADED.extend(
            yaml.load((CONTRACTS / name).read_text("utf-8"), yaml.CSafeLoader)
            for name in ("api-particulier.openapi.yaml", "api-entreprise.openapi.yaml")
        )
        _LOADED.extend(impots.contract(CONTRACTS / file, base) for file, base in impots.CONTRACTS)
    return _LOADED


_LOADED: list[dict[str, Any]] = []


def _errors(route: dict[str, Any]) -> set[tuple[int, str]]:
    return {
        (int(status), item["code"])
        for status, response in route["responses"].items()
        if status != "200"
        for content in response.get("content", {}).values()
        for example in content.get("examples", {}).values()
        for item in example["value"]["errors"]
    }
