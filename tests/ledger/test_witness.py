"""C2SP tlog-witness: what a witness cosigns, what it refuses, what it remembers."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core import cosignature, merkle, note
from consent.core.note import Checkpoint, Verifier
from consent.witness import rules
from consent.witness.rules import BadSubmission, Submission
from consent.witness.server import Memory, WitnessServer
from tests.witnessing import KEYS, LEAVES, LOG, NOW_S, OTHER, a_witness, body, checkpoint, http_to

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT.parent / "shared" / "vectors" / "c2sp-examples" / "examples.json"


@pytest.fixture
def server(tmp_path: Path) -> WitnessServer:
    return a_witness(tmp_path)


async def post(http: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await http.post("/add-checkpoint", content=content)


async def test_eleven_submissions_in_a_row(server: WitnessServer) -> None:
    """One witness, one log: each status of the specification where it says so, and only what is consistent moves the witness."""
    empty_proof_due = merkle.consistency_path(LEAVES[:9], 5)
    async with http_to(server) as http:
        for number, (content, status, said) in enumerate(
            [
                (body(0, 5), 200, None),
                (body(5, 5), 200, None),
                (body(0, 9), 409, "5\n"),
                (body(5, 5, OTHER, path=[]), 409, "5\n"),
                (body(5, 9, path=empty_proof_due[:-1]), 422, ""),
                (body(5, 9, OTHER, path=empty_proof_due), 422, ""),
                (body(5, 9, origin="accord.test/unknown"), 404, ""),
                (body(5, 9, key=KEYS[7]), 403, ""),
                (body(9, 5, path=[]), 400, ""),
                (body(5, 9, path=[bytes(32)] * 64), 400, ""),
                (body(5, 9), 200, None),
            ]
        ):
            answer = await post(http, content)
            assert answer.status_code == status, number
            if said is not None:
                assert answer.text == said
            if status == 409:
                assert answer.headers["content-type"] == "text/x.tlog.size"
            assert ("—" in answer.text) is (status == 200)
        assert (await post(http, body(5, 9))).text == "9\n"


async def test_what_it_signs_is_a_cosignature_of_the_checkpoint(server: WitnessServer) -> None:
    """The lines of the answer, put under the checkpoint, make a note that log and witness have signed."""
    async with http_to(server) as http:
        answer = await post(http, body(0, 7))
    assert answer.headers["content-type"].startswith("text/plain")
    text, signatures = note.split(checkpoint(7) + answer.text)
    assert note.verify(checkpoint(7) + answer.text, LOG) == text
    assert cosignature.cosigned_at(text, signatures, server.witness, NOW_S) == NOW_S


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (body(0, 0), 200),
        (rules.write(Submission(0, (), note.sign(Checkpoint(LOG.name, 0, LEAVES[0]).text(), LOG.name, KEYS[0]))), 422),
        (rules.write(Submission(0, (), note.sign(Checkpoint(LOG.name, 0, bytes(32)).text(), LOG.name, KEYS[0]))), 422),
        (body(0, 0, path=[LEAVES[0]]), 422),
        (body(0, 1, path=[LEAVES[0]]), 422),
        (body(0, 1), 200),
        (body(1, 1), 409),
        (body(1, 0, path=[]), 400),
    ],
)
def test_the_empty_tree_has_its_rules(server: WitnessServer, content: bytes, status: int) -> None:
    """One root, no proof from nothing; the same answer when asked again, unless it went through."""
    assert server.add_checkpoint(content)[0] == status
    assert server.add_checkpoint(content)[0] == (409 if content == body(0, 1) else status)


GOOD = body(5, 9).decode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"old 5\n",
        GOOD.replace("old 5", "old 05").encode(),
        GOOD.replace("old 5", "old -5").encode(),
        GOOD.replace("old 5", "old +5").encode(),
        GOOD.replace("old 5", "old").encode(),
        GOOD.replace("old 5", "new 5").encode(),
        GOOD.replace("old 5", "old  5").encode(),
        GOOD.replace("old 5", f"old {2**63}").encode(),
        GOOD.replace("old 5", f"old {2**64}").encode(),
        GOOD.replace("old 5", "old " + "9" * 5_000).encode(),
        GOOD.replace("old 5\n", "old 5\n" + base64.b64encode(bytes(31)).decode() + "\n").encode(),
        GOOD.replace("old 5\n", "old 5\nnot base64\n").encode(),
        GOOD.replace("\n\n", "\n\n\n", 1).encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n\n", "\n").encode(),
        GOOD[:-1].encode(),
        (GOOD + "\n").encode(),
        (GOOD + "— stranger.test/1 AAAAAAAA\n" * 16).encode(),
        GOOD.encode() + b"\xff",
        GOOD.encode("utf-16"),
        GOOD.replace("accord", "acc\0rd").encode(),
        rules.write(Submission(5, (), note.sign(f"{LOG.name}\n09\n{base64.b64encode(bytes(32)).decode()}\n", LOG.name, KEYS[0]))),
        rules.write(Submission(5, (), note.sign(f"{LOG.name}\n{2**63}\n{base64.b64encode(bytes(32)).decode()}\n", LOG.name, KEYS[0]))),
        rules.write(Submission(5, (), note.sign(f"{LOG.name}\n9\nAAAA\n", LOG.name, KEYS[0]))),
    ],
)  # fmt: skip
def test_what_is_no_submission_is_a_bad_request(server: WitnessServer, content: bytes) -> None:
    """400, nothing said, nothing remembered."""
    assert server.add_checkpoint(body(0, 5))[0] == 200
    assert server.add_checkpoint(content) == (400, "")
    assert server.add_checkpoint(GOOD.encode())[0] == 200


@given(st.integers(0, len(GOOD)), st.integers(0, len(GOOD)), st.binary(max_size=3))
def test_no_bytes_make_a_submission_fail_otherwise(a: int, b: int, piece: bytes) -> None:
    """Read, or BadSubmission: nothing else is raised."""
    content = GOOD.encode()[: min(a, b)] + piece + GOOD.encode()[max(a, b) :]
    try:
        rules.read(content)
    except BadSubmission:
        return


def test_the_specifications_request_is_read() -> None:
    """The example body: old size, four hashes, and the checkpoint verbatim with both its signatures; written, it is the same."""
    if not EXAMPLES.exists():
        pytest.skip("no C2SP examples at ../shared/vectors/c2sp-examples")
    blocks = json.loads(EXAMPLES.read_text())["tlog-witness"]["request_and_response_blocks_indented"]
    text = "".join(line.removeprefix("    ") for line in blocks[1].rstrip("\n").splitlines(keepends=True)) + "\n"
    found = rules.read(text.encode())
    assert (found.old_size, len(found.path), rules.origin(found)) == (20_852_014, 4, "example.com/behind-the-sofa")
    assert len(note.split(found.checkpoint)[1]) == 2 and rules.write(found).decode() == text
    answer = [note.parse_signature(line.removeprefix("    ")) for line in blocks[2].rstrip("\n").splitlines()]
    assert [s.name for s in answer] == ["witness.example/w1", "witness.example/w1", "witness.example/w2"]


def test_signatures_of_strangers_are_passed_over_and_bad_ones_are_not(server: WitnessServer) -> None:
    """Beside others' signatures the log's counts; a bad one under its key refuses the whole, wherever it stands."""
    text, _, line = checkpoint(5).partition("\n\n")
    stranger = "— stranger.test/1 AAAAAAAAAAAA\n"
    bad = note.format_signature(note.Signature(LOG.name, LOG.key_id, bytes(64))) + "\n"
    for lines, status in (
        (stranger + bad, 403),
        (line + stranger + bad, 403),
        (bad + line, 403),
        (stranger, 403),
        (stranger + line, 200),
    ):
        assert server.add_checkpoint(rules.write(Submission(0, (), f"{text}\n\n{lines}")))[0] == status


def test_a_log_may_have_two_keys(tmp_path: Path) -> None:
    """While its key changes, either signs; the old one no more once it is not given."""
    new = Verifier(LOG.name, KEYS[1].public_key().public_bytes_raw())
    both = a_witness(tmp_path, LOG, new)
    assert both.add_checkpoint(body(0, 3))[0] == both.add_checkpoint(body(3, 4, key=KEYS[1]))[0] == 200
    assert a_witness(tmp_path, new).add_checkpoint(body(4, 5))[0] == 403


def test_each_log_has_its_own_memory(tmp_path: Path) -> None:
    """Two origins, two sizes; one's never answers for the other's."""
    other = Verifier("accord.test/other", KEYS[2].public_key().public_bytes_raw())
    server = a_witness(tmp_path, LOG, other)
    assert server.add_checkpoint(body(0, 5))[0] == 200
    assert server.add_checkpoint(body(0, 3, OTHER, origin=other.name, key=KEYS[2]))[0] == 200
    assert [
        server.add_checkpoint(body(0, 9))[1],
        server.add_checkpoint(body(0, 9, origin=other.name, key=KEYS[2]))[1],
    ] == ["5\n", "3\n"]


def test_of_two_at_once_one_wins_and_nothing_rolls_back(tmp_path: Path) -> None:
    """From the same size, a longer and a shorter checkpoint at the same instant: one 200, one 409 with the winner's size."""
    for round_number in range(20):
        server, barrier, answers = a_witness(tmp_path / str(round_number)), threading.Barrier(2), {}
        assert server.add_checkpoint(body(0, 1))[0] == 200

        def submit(
            size: int,
            server: WitnessServer = server,
            barrier: threading.Barrier = barrier,
            answers: dict[int, tuple[int, str]] = answers,
        ) -> None:
            barrier.wait()
            answers[size] = server.add_checkpoint(body(1, size))

        threads = [threading.Thread(target=submit, args=(size,)) for size in (3, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (won,) = [size for size, (status, _) in answers.items() if status == 200]
        assert answers[8 - won] == (409, f"{won}\n")
        assert Memory(tmp_path / str(round_number) / "seen").recall(LOG.name).size == won


def test_deciding_and_remembering_are_one_step(tmp_path: Path) -> None:
    """A second submission cannot be decided while the first one is between its check and its memory."""
    server, inside, go_on = a_witness(tmp_path), threading.Event(), threading.Event()
    server.add_checkpoint(body(0, 1))

    class Slow(Memory):
        def keep(self, origin: str, seen: rules.Seen) -> None:
            if seen.size == 3:
                inside.set()
                go_on.wait(10)
            super().keep(origin, seen)

    server._memory = Slow(tmp_path / "seen")
    answers: dict[int, tuple[int, str]] = {}
    threads = [
        threading.Thread(target=lambda size=size: answers.update({size: server.add_checkpoint(body(1, size))}))
        for size in (3, 5)
    ]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    assert 5 not in answers
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert answers[3][0] == 200 and answers[5] == (409, "3\n")


def test_a_restart_forgets_nothing_and_a_rollback_is_refused(tmp_path: Path) -> None:
    """Another process over the same folder: same key, same size; a shorter log or another history is refused, whatever old size it says."""
    first = a_witness(tmp_path)
    assert first.add_checkpoint(body(0, 9))[0] == 200
    again = a_witness(tmp_path)
    assert again.witness == first.witness
    assert again.add_checkpoint(body(0, 5)) == (409, "9\n")
    assert again.add_checkpoint(body(5, 5)) == (409, "9\n")
    assert again.add_checkpoint(body(9, 5, path=[])) == (400, "")
    assert again.add_checkpoint(body(9, 20, OTHER))[0] == 422
    assert again.add_checkpoint(body(9, 20))[0] == 200


async def test_a_witness_whose_memory_is_spoilt_signs_nothing(tmp_path: Path) -> None:
    """Unreadable, of another log, or not to be written: 500, until it is mended."""
    server = a_witness(tmp_path)
    assert server.add_checkpoint(body(0, 5))[0] == 200
    (file,) = (tmp_path / "seen").glob("*.json")
    good = file.read_text()
    async with http_to(server) as http:
        for spoilt in (
            "",
            "{}",
            "[]",
            good.replace("accord", "other"),
            good.replace(" 5,", " -5,"),
            good[:-9],
            good.replace(" 5,", ' "x",'),
        ):
            file.write_text(spoilt)
            answer = await post(http, body(5, 9))
            assert (answer.status_code, answer.text) == (500, "")
        file.write_text(good)
        (tmp_path / "seen" / file.with_suffix(".part").name).mkdir()
        assert (await post(http, body(5, 9))).status_code == 500
        (tmp_path / "seen" / file.with_suffix(".part").name).rmdir()
        assert (await post(http, body(5, 9))).status_code == 200


async def test_the_door_is_narrow(server: WitnessServer) -> None:
    """One path, one method, a bounded body."""
    async with http_to(server) as http:
        assert (await http.get("/add-checkpoint")).status_code == 405
        assert (await http.post("/", content=GOOD.encode())).status_code == 404
        assert (await post(http, GOOD.encode() + b"x" * rules.MAX_BYTES)).status_code == 400
