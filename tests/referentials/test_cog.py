"""Codes of places, with a date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from exchange import referentials
from exchange.cli import app
from exchange.core import cog
from exchange.core.cog import BadReferential, Cog
from exchange.core.identity import BadIdentity, Identity
from exchange.referentials import EXCERPT, TABLE

PLACES = Cog.of(referentials.build(EXCERPT))
COMMUNE, COUNTRY, DEPARTEMENT = (
    "code_cog_insee_commune_naissance", "code_cog_insee_pays_naissance", "code_cog_insee_departement_naissance"
)  # fmt: skip


def born(date: str, **codes: str) -> Identity:
    return Identity("Imaginaire", date_naissance=date, **codes)


@pytest.mark.parametrize(
    ("code", "date", "known"),
    [
        ("00102", "1960-05-01", True), ("00102", "1980-05-01", False), ("00103", "2020-01-01", True), ("00103", "1960-01-01", False),
        ("20901", "1970-01-01", True), ("20901", "1980-01-01", False), ("2A901", "1980-01-01", True), ("2A901", "1970-01-01", False),
        ("00101", "1920-03-03", True), ("99999", "1980-01-01", False), ("00191", "1980-01-01", True), ("98701", "1980-01-01", True),
        ("98702", "1980-01-01", False), ("97501", "1980-01-01", True),
    ],
)  # fmt: skip
def test_a_commune_has_its_code_at_a_date(code: str, date: str, known: bool) -> None:
    """Merged, new, renumbered with Corsica, older than the table, unknown, an arrondissement; overseas only where the file covers it."""
    assert PLACES.commune(code, date) is known
    assert cog.check(born(date, code_cog_insee_commune_naissance=code), PLACES) == ([] if known else [COMMUNE])


def test_on_the_day_of_a_change_both_codes_are_known() -> None:
    """A register may have written either."""
    assert PLACES.commune("20901", "1976-01-01") and PLACES.commune("2A901", "1976-01-01")


@pytest.mark.parametrize(
    ("date", "known"),
    [("1974-00-00", True), ("1975-00-00", False), ("1974-01-00", True), ("1974-02-00", False), ("0000-00-00", True)],
)
def test_what_is_unknown_of_a_birth_is_left_open(date: str, known: bool) -> None:
    """A commune that ended on 1 January 1974 may be that of a birth of that year or month, or of no date; not of a later one."""
    assert PLACES.commune("00102", date) is known


@given(st.dates().map(str))
def test_a_place_of_all_times_is_known_at_any_date(date: str) -> None:
    """Where a code has always meant one thing, no date makes a problem of it."""
    assert (
        cog.check(born(date, code_cog_insee_pays_naissance="99100", code_cog_insee_commune_naissance="00191"), PLACES)
        == []
    )


def test_a_country_that_ended_is_no_birthplace_after_it() -> None:
    """Union of Syldavia and Borduria until 1991; Syldavia since, which registers also write for older births."""
    assert cog.check(born("1980-01-01", code_cog_insee_pays_naissance="99901"), PLACES) == []
    assert cog.check(born("2000-01-01", code_cog_insee_pays_naissance="99901"), PLACES) == [COUNTRY]
    assert cog.check(born("1980-01-01", code_cog_insee_pays_naissance="99902"), PLACES) == []


def test_an_excerpt_judges_only_what_it_holds(tmp_path: Path) -> None:
    """In a table that says it is one, a code that is not there may be any place; one that is there is judged by its dates as ever."""
    places = Cog.of(referentials.build(EXCERPT), partial=True)
    referentials.write(referentials.build(EXCERPT), tmp_path / TABLE, partial=True)
    for table in (places, referentials.load(tmp_path)):
        assert table is not None and table.partial
        assert table.commune("29189", "1980-01-01") and table.country("99132", "1980-01-01")
        assert table.departement("29", "1980-01-01")
        assert not table.commune("00102", "1980-05-01") and not table.country("99901", "2000-01-01")


def test_the_sandbox_has_a_table(tmp_path: Path) -> None:
    """Real communes and all countries, an excerpt that says so; a table that is there is left alone."""
    referentials.seed(tmp_path)
    table = referentials.load(tmp_path)
    assert table is not None and table.partial and len(table.communes) >= 60 and len(table.countries) >= 190
    for code, date, known in (
        ("75056", "1980-01-01", True), ("20004", "1980-01-01", False), ("2A004", "1980-01-01", True), ("69383", "1980-01-01", True),
        ("50173", "1980-01-01", True), ("50173", "2018-01-01", False), ("97411", "1980-01-01", True),
    ):  # fmt: skip
        assert table.commune(code, date) is known, code
    assert table.country("99115", "1980-01-01") and not table.country("99115", "1995-01-01")
    (tmp_path / TABLE).write_text("mine")
    referentials.seed(tmp_path)
    assert (tmp_path / TABLE).read_text() == "mine"


def test_a_commune_goes_with_france() -> None:
    """A French commune and a foreign country are not one birth."""
    abroad = born("1980-01-01", code_cog_insee_pays_naissance="99901", code_cog_insee_commune_naissance="2A901")
    assert cog.check(abroad, PLACES) == [COMMUNE]


def test_a_departement_is_that_of_a_commune_then() -> None:
    """2A is a département since 1976; overseas is not judged where no file covers it."""
    assert cog.check(born("1980-01-01", code_cog_insee_departement_naissance="2A"), PLACES) == []
    assert cog.check(born("1970-01-01", code_cog_insee_departement_naissance="2A"), PLACES) == [DEPARTEMENT]
    assert cog.check(born("1970-01-01", code_cog_insee_departement_naissance="975"), PLACES) == []
    assert cog.check(born("1970-01-01", code_cog_insee_departement_naissance=""), PLACES) == []


def test_a_table_reads_back(tmp_path: Path) -> None:
    """What is built, written and loaded says the same, whatever the order; without a table nothing is judged."""
    assert referentials.load(tmp_path) is None
    places = referentials.build(EXCERPT)
    referentials.write(places, tmp_path / TABLE)
    before = (tmp_path / TABLE).read_bytes()
    referentials.write(places[::-1], tmp_path / TABLE)
    assert (tmp_path / TABLE).read_bytes() == before
    loaded = referentials.load(tmp_path)
    assert loaded is not None and set(loaded.communes) == set(PLACES.communes)
    assert {p for ps in loaded.communes.values() for p in ps} == {p for ps in PLACES.communes.values() for p in ps}


def test_vetting_names_the_field_and_no_value() -> None:
    """An identity with a place that was none is BadIdentity; the text is the field. Without a table it passes."""
    wrong = born("1980-01-01", code_cog_insee_commune_naissance="20901")
    assert referentials.vetted(wrong, None) is wrong
    with pytest.raises(BadIdentity, match=f"^{COMMUNE}$"):
        referentials.vetted(wrong, PLACES)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v_commune_depuis_1943.csv", ""), ("v_commune_depuis_1943.csv", "COM,TNCC\n"), ("v_commune_depuis_1943.csv", "\xff\xfe"),
        ("v_commune_depuis_1943.csv", "COM,LIBELLE,DATE_DEBUT,DATE_FIN\n00101,X,01/01/1943,\n"),
        ("v_commune_depuis_1943.csv", "COM,LIBELLE,DATE_DEBUT,DATE_FIN\n,X,1943-01-01,\n"),
        ("v_commune_depuis_1943.csv", "COM,LIBELLE,DATE_DEBUT,DATE_FIN\n00101\n" + "1" * 200_000 + ",X,,\n"),
        ("v_pays_et_territoire_depuis_1943.csv", "COG\n99100\n"), ("v_commune_2026.csv", "COM,LIBELLE\n00101,X\n"),
    ],
)  # fmt: skip
def test_files_that_will_not_do(tmp_path: Path, name: str, text: str) -> None:
    """A file that is empty, without its columns, in another encoding, with other dates or without codes: refused by name."""
    for path in EXCERPT.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(BadReferential, match=f"^{name} : "):
        referentials.build(tmp_path)


@pytest.mark.parametrize(
    "name", ["v_commune_depuis_1943.csv", "v_commune_2026.csv", "v_pays_et_territoire_depuis_1943.csv"]
)
def test_files_that_are_needed(tmp_path: Path, name: str) -> None:
    """Without arrondissements every birth in Paris would be refused: the yearly file is needed as the two others are."""
    for path in EXCERPT.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BadReferential, match=" : absent$"):
        referentials.build(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "nature,code\n", "nature,code,debut,fin,libelle\n", "nature,code,debut,fin,libelle\nville,1,2,3,4\n", "\xff"],
)
def test_a_table_that_is_none(tmp_path: Path, text: str) -> None:
    """Anything but a table with communes and countries is refused rather than taken for an empty one."""
    (tmp_path / TABLE).write_text(text, encoding="latin-1")
    with pytest.raises(BadReferential):
        referentials.load(tmp_path)


def test_built_and_used_by_command(tmp_path: Path) -> None:
    """`accord referentials build` makes the bus's table; `check` and `consent give` then refuse a place that was none, naming the field."""
    run = CliRunner().invoke
    done = run(app, ["referentials", "build", str(EXCERPT), "--data", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"table": str(tmp_path / TABLE), "communes": 7, "countries": 3}
    person = {"nomNaissance": "Imaginaire", "anneeDateNaissance": "1980", "codeCogInseeCommuneNaissance": "20901"}
    asked = ["--identity", "-", "--data", str(tmp_path), "--json"]
    done = run(app, ["referentials", "check", *asked], input=json.dumps(person))
    assert (done.exit_code, json.loads(done.stdout)) == (3, {"ok": False, "fields": [COMMUNE]})
    done = run(app, ["consent", "give", *asked], input=json.dumps(person))
    assert (done.exit_code, json.loads(done.stdout)["error"]) == (2, "bad_identity") and COMMUNE in done.stdout
    done = run(app, ["referentials", "check", *asked], input=json.dumps(person | {"anneeDateNaissance": "1970"}))
    assert done.exit_code == 0
    done = run(app, ["referentials", "build", str(tmp_path), "--data", str(tmp_path), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["error"]) == (5, "bad_referential")


def test_all_communes_come_from_npm(tmp_path: Path) -> None:
    """The real package, its hash checked: each commune since 1943 with its dates, arrondissements, all countries; a whole table."""
    done = CliRunner().invoke(app, ["referentials", "fetch", "--data", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    said, table = json.loads(done.stdout), referentials.load(tmp_path)
    assert table is not None and not table.partial and said["communes"] == len(table.communes) > 39_000
    assert said["countries"] == len(table.countries) >= 190
    assert table.commune("29189", "1980-01-01") and table.commune("69383", "1980-01-01")
    assert not table.commune("20004", "1990-01-01") and not table.commune("00101", "1990-01-01")


@pytest.mark.parametrize(
    "row", [{}, {"type": "COM"}, {"type": "COM", "code": "01001", "nom": "X", "dateDebut": "hier"}]
)
def test_a_package_of_another_shape(row: dict[str, str]) -> None:
    """It is said, and no table is made."""
    with pytest.raises(BadReferential):
        list(cog.etalab([row], []))
