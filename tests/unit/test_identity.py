"""Who a request is about: canonical identity, commitment, pairwise reference (protocol §6)."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import unicodedata
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.core.encoding import digest, join, split, strings
from exchange.core.identity import BadIdentity, Identity, canonical, commitment, read, subject_reference

JEANNE = Identity(
    "Lefèvre", "Martin", ("Jeanne", "Zoé"), "1980-01-00", "F", "99100", "2A004", "Ajaccio", "2A"
)  # day unknown, born in Corsica
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)
IDENTITIES = st.builds(
    Identity,
    nom_naissance=TEXTS,
    nom_usage=TEXTS,
    prenoms=st.lists(TEXTS, max_size=4).map(tuple),
    date_naissance=st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True),
    sexe_etat_civil=st.sampled_from(["", "M", "F"]),
    code_cog_insee_pays_naissance=TEXTS,
    code_cog_insee_commune_naissance=TEXTS,
    nom_commune_naissance=TEXTS,
    code_cog_insee_departement_naissance=TEXTS,
    numero_fiscal=st.from_regex(r"([0-9]{13})?", fullmatch=True),
    ine=st.from_regex(r"([0-9A-Z]{11})?", fullmatch=True),
    identifiant_france_travail=TEXTS,
    siret=st.from_regex(r"([0-9]{14})?", fullmatch=True),
)


def nfc(identity: Identity) -> Identity:
    def one(value: Any) -> Any:
        return tuple(map(one, value)) if isinstance(value, tuple) else unicodedata.normalize("NFC", value)

    return Identity(*(one(getattr(identity, f.name)) for f in fields(identity)))


@given(IDENTITIES)
@example(JEANNE)
def test_a_canonical_identity_reads_back(identity: Identity) -> None:
    """Reading gives the identity in NFC, and its encoding is the same bytes."""
    data = canonical(identity)
    assert read(data) == nfc(identity)
    assert canonical(read(data)) == data


@given(IDENTITIES, IDENTITIES)
def test_two_people_never_share_an_encoding(one: Identity, other: Identity) -> None:
    """Equal bytes mean equal fields, whatever the fields hold."""
    assert (canonical(one) == canonical(other)) == (nfc(one) == nfc(other))


def test_two_forms_of_one_name_are_one_person() -> None:
    """NFC and NFD twins of an accented name have one encoding."""
    twin = replace(JEANNE, nom_naissance=unicodedata.normalize("NFD", JEANNE.nom_naissance))
    assert twin != JEANNE and canonical(twin) == canonical(JEANNE)
    assert commitment(bytes(32), canonical(twin)) == commitment(bytes(32), canonical(JEANNE))


@pytest.mark.parametrize("field", [f.name for f in fields(Identity)])
def test_every_field_counts(field: str) -> None:
    """A change of any one field is another person."""
    values = {"prenoms": ("Jeanne Zoé",), "date_naissance": "1980-01-01", "sexe_etat_civil": "M"}
    values |= {"numero_fiscal": "3" * 13, "ine": "1234567890A", "siret": "13002526500013"}
    changed: Any = values.get(field, "autre")
    other = canonical(replace(JEANNE, **{field: changed}))
    assert other != canonical(JEANNE)
    assert commitment(bytes(32), other) != commitment(bytes(32), canonical(JEANNE))


def test_fields_do_not_run_together() -> None:
    """Moving a letter across a border between fields or given names is another person."""
    base = Identity("AB", "C", ("D", "E"))
    others = [Identity("A", "BC", ("D", "E")), Identity("AB", "C", ("DE",)), Identity("AB", "CD", ("E",))]
    assert len({canonical(i) for i in [base, *others]}) == 4


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"date_naissance": "1980-1-1"}, "date_naissance"),
        ({"date_naissance": ""}, "date_naissance"),
        ({"date_naissance": "1980-01-01\n"}, "date_naissance"),
        ({"date_naissance": "١٩٨٠-01-01"}, "date_naissance"),
        ({"sexe_etat_civil": "X"}, "sexe_etat_civil"),
        ({"nom_naissance": "A\0B"}, "nom_naissance"),
        ({"nom_usage": "A\r\nB"}, "nom_usage"),
        ({"prenoms": ("A", "B\x1b")}, "prenoms"),
        ({"nom_commune_naissance": "x" * 201}, "nom_commune_naissance"),
        ({"siret": "1300252650001"}, "siret"),
        ({"siret": "1300252650001٣"}, "siret"),
        ({"siret": "13002526500013\n"}, "siret"),
        ({"numero_fiscal": "30"}, "numero_fiscal"),
        ({"ine": "1234567890"}, "ine"),
        ({"identifiant_france_travail": "a\0b"}, "identifiant_france_travail"),
    ],
)
def test_what_is_no_identity_is_refused_by_the_fields_name(changes: dict[str, Any], field: str) -> None:
    """Control characters, endless names and other dates are refused; the error names the field, not the value."""
    with pytest.raises(BadIdentity, match=f"^{field}$"):
        replace(JEANNE, **changes)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_identity_or_a_refusal(data: bytes) -> None:
    """Bytes that are read are canonical: there is one encoding of one person."""
    with contextlib.suppress(BadIdentity):
        assert canonical(read(data)) == data


@given(st.data())
def test_a_changed_byte_is_another_person_or_none(data: st.DataObject) -> None:
    """No flip, cut or addition reads back as the same person."""
    whole = bytearray(canonical(JEANNE))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    for changed in (bytes(whole), canonical(JEANNE)[:at], canonical(JEANNE) + b"\0"):
        with contextlib.suppress(BadIdentity):
            assert read(changed) != JEANNE


def test_decomposed_bytes_are_not_canonical() -> None:
    """An encoding that is not NFC is nobody's."""
    name = unicodedata.normalize("NFD", "Lefèvre").encode()
    parts = split(canonical(JEANNE), 9)
    with pytest.raises(BadIdentity):
        read(join(name, *parts[1:]))


def test_the_states_own_names_are_understood() -> None:
    """Wire names of API Particulier, numbers or texts; what is unknown of a date is zeros."""
    wire = {
        "nomNaissance": "Lefèvre", "nomUsage": "Martin", "prenoms": ["Jeanne", "Zoé"], "anneeDateNaissance": 1980,
        "moisDateNaissance": "1", "sexeEtatCivil": "F", "codeCogInseePaysNaissance": "99100",
        "codeCogInseeCommuneNaissance": "2A004", "nomCommuneNaissance": "Ajaccio",
        "codeCogInseeDepartementNaissance": "2A",
    }  # fmt: skip
    assert Identity.from_wire(wire) == JEANNE
    assert Identity.from_wire({"nomNaissance": "X"}).date_naissance == "0000-00-00"
    assert Identity.from_wire({"prenoms": "Jeanne"}).prenoms == ("Jeanne",)


@pytest.mark.parametrize(
    "wire",
    [
        {"nomNaissance": "X", "annee": "2026"},
        {"numeroAllocataire": "1"},
        {"anneeDateNaissance": "19800"},
        {"moisDateNaissance": "1x"},
        {"jourDateNaissance": "²"},
        {"jourDateNaissance": -1},
    ],
)
def test_what_selects_or_is_unknown_is_not_part_of_a_person(wire: dict[str, object]) -> None:
    """A month asked for, an unknown parameter, a date that is none: refused."""
    with pytest.raises(BadIdentity):
        Identity.from_wire(wire)


def test_a_commitment_is_sha256_over_label_salt_and_identity() -> None:
    """C is what the protocol says, each part with its length; another salt is another C."""
    salt, identity = b"s" * 32, canonical(JEANNE)
    parts = b"".join(len(p).to_bytes(4, "big") + p for p in (b"accord.subject.v1", salt, identity))
    assert commitment(salt, identity) == hashlib.sha256(parts).digest()
    assert commitment(b"t" * 32, identity) != commitment(salt, identity)


def test_a_subject_reference_is_pairwise() -> None:
    """One person has unrelated references at two recipients, and none without the key."""
    identity = canonical(JEANNE)
    here = subject_reference(b"k" * 32, "21130055300016", identity)
    body = join(b"accord.reference.v1", b"21130055300016", hashlib.sha256(identity).digest())
    assert here == hmac.new(b"k" * 32, body, "sha256").digest()
    others = {
        subject_reference(b"k" * 32, "21130055300024", identity),
        subject_reference(b"l" * 32, "21130055300016", identity),
    }
    assert here not in others and len(others) == 2


@given(st.lists(st.binary(max_size=12), max_size=6), st.lists(st.binary(max_size=12), max_size=6))
def test_joined_parts_are_unambiguous(one: list[bytes], other: list[bytes]) -> None:
    """Two lists of parts share an encoding only if they are one list; splitting gives it back."""
    assert (join(*one) == join(*other)) == (one == other)
    assert split(join(*one), len(one)) == one
    assert digest(b"label", *one) == hashlib.sha256(join(b"label", *one)).digest()


@given(st.binary(max_size=40), st.integers(0, 4))
def test_what_splits_was_joined(data: bytes, count: int) -> None:
    """Anything else is a ValueError: truncated, trailing or lying about its length."""
    with contextlib.suppress(ValueError):
        assert join(*split(data, count)) == data


def test_a_list_of_texts_is_one_part() -> None:
    """Scopes joined in another way are other bytes."""
    assert strings(("ab", "c")) != strings(("a", "bc")) != strings(("abc",))


def test_an_identity_keeps_its_bytes_when_fields_are_added() -> None:
    """A person designated without the numbers added since has the nine-part encoding that agreements hold."""
    assert len(split(canonical(JEANNE), 9)) == 9
    assert len(split(canonical(replace(JEANNE, ine="1234567890A")), 11)) == 11
    with pytest.raises(BadIdentity):
        read(canonical(JEANNE) + join(b""))


@pytest.mark.parametrize("siret", ["13002526500013", "35600000000048", "35600000049837", "77567227221138"])
def test_a_company_is_its_siret(siret: str) -> None:
    """A company has no person's field; La Poste's establishments, whose key is its own, are companies too."""
    company = Identity.from_wire({"siret": siret})
    assert company == Identity(siret=siret) and read(canonical(company)) == company


@pytest.mark.parametrize("siret", ["13002526500014", "1300252650001", "35600000049838", "SIRET", "13002526500013\n"])
def test_a_siret_with_a_wrong_key_does_not_enter(siret: str) -> None:
    """A mistyped Siret is refused where it enters, by the field's name."""
    with pytest.raises(BadIdentity, match="^siret$"):
        Identity.from_wire({"siret": siret})


def test_numbers_that_designate_a_person() -> None:
    """The State's own names for them: `spi`, `ine`, `identifiant`."""
    person = Identity.from_wire({"spi": "3" * 13, "ine": "1234567890A", "identifiant": "martin.jacques"})
    assert (person.numero_fiscal, person.ine, person.identifiant_france_travail) == (
        "3" * 13, "1234567890A", "martin.jacques",
    )  # fmt: skip
