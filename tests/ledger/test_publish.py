"""The public log as files: whole, or older, at every moment."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consent import publish
from consent.core import tiles
from consent.publish import Diverged
from tests.logs import LOG, Entries, fetched_log, files, served, valid

ROOT = Path(__file__).parents[2]
LARGE = Entries(70_000)


def test_seventy_thousand_leaves_lie_where_the_specification_says(tmp_path: Path) -> None:
    """The files, no more and no less, by name and length; bundles and tiles hold the log's own bytes."""
    publish.publish(tmp_path, LARGE, [LARGE.checkpoint(70_000)])
    found = files(tmp_path)
    names = [f"{n // 1000:03}/{n % 1000:03}" if n > 999 else f"{n:03}" for n in range(273)]
    expected = {f"tile/{kind}/{name}" for kind in ("0", "entries") for name in names}
    expected |= {
        "tile/0/273.p/112",
        "tile/entries/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
        "checkpoint",
    }
    assert set(found) == expected
    assert {len(v) for k, v in found.items() if k.startswith("tile/0/") and ".p" not in k} == {8_192}
    assert [len(found[k]) for k in ("tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1")] == [112 * 32, 17 * 32, 32]
    assert found["tile/entries/001"][:10] == b"\0\x08leaf 256"
    assert found["tile/0/001"][:32] == hashlib.sha256(b"\0leaf 256").digest()
    assert found["checkpoint"].decode() == LARGE.checkpoint(70_000)
    assert valid(tmp_path) == 70_000


@pytest.mark.parametrize(
    "sizes", [(0, 256), (1, 100, 256), (3, 255, 256, 257, 600), (256, 512, 700, 1_024), (1, 1, 2, 65_536)]
)
def test_grown_is_what_was_published_at_once(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """Byte for byte the same files; what is left over are partial tiles of sizes once signed that no whole tile has replaced yet."""
    for number, size in enumerate(sizes):
        publish.publish(tmp_path / "grown", LARGE, [LARGE.checkpoint(size)])
        publish.publish(tmp_path / str(number), LARGE, [LARGE.checkpoint(size)])
        grown, at_once = files(tmp_path / "grown"), files(tmp_path / str(number))
        assert {name: grown[name] for name in at_once} == at_once
        once = {
            p(tile)
            for s in sizes[:number]
            for tile in tiles.tiles(s)
            for p in (tiles.hashes_path, tiles.entries_path)
            if not tile.whole
        }
        left = set(grown) - set(at_once)
        assert left <= once and all(name.split(".p/")[0] not in grown for name in left)
        assert valid(tmp_path / "grown") == size


def test_grown_to_one_whole_tile_nothing_is_left_over(tmp_path: Path) -> None:
    """Partial tiles go once the whole one is there: the folder is exactly the one published at once."""
    for size in (1, 17, 255, 256):
        publish.publish(tmp_path / "grown", LARGE, [LARGE.checkpoint(size)])
    publish.publish(tmp_path / "once", LARGE, [LARGE.checkpoint(256)])
    assert files(tmp_path / "grown") == files(tmp_path / "once")


def test_every_size_signed_has_its_partial_tiles(tmp_path: Path) -> None:
    """Heads signed since the last publication are all served, not only the last one."""
    publish.publish(tmp_path, LARGE, [LARGE.checkpoint(size) for size in (3, 5, 300)])
    assert {"tile/entries/000", "tile/entries/001.p/44", "tile/0/001.p/44"} <= set(files(tmp_path))
    publish.publish(tmp_path, LARGE, [LARGE.checkpoint(size) for size in (301, 303)])
    assert {f"tile/{kind}/001.p/{width}" for kind in ("0", "entries") for width in (44, 45, 47)} <= set(files(tmp_path))


def test_stopped_after_any_file_the_older_log_is_whole(tmp_path: Path) -> None:
    """Whatever was written before the new checkpoint, the old one verifies from the folder; going on ends in the same files."""
    old, new = LARGE.checkpoint(250), LARGE.checkpoint(600)
    publish.publish(tmp_path / "whole", LARGE, [old])
    planned = [f for batch in publish.missing(tmp_path / "whole", LARGE, [new]) for f in batch]
    publish.publish(tmp_path / "whole", LARGE, [new])
    for count in range(len(planned) + 1):
        folder = tmp_path / str(count)
        publish.publish(folder, LARGE, [old])
        publish.write(folder, planned[:count])
        (folder / "checkpoint.part").write_bytes(b"torn")
        (folder / "tile/0/001.part").parent.mkdir(parents=True, exist_ok=True)
        (folder / "tile/0/001.part").write_bytes(b"torn")
        assert valid(folder) == 250
        publish.publish(folder, LARGE, [new])
        torn = {"tile/0/001.part"} & set(files(folder))
        assert set(files(folder)) - torn == set(files(tmp_path / "whole")) and valid(folder) == 600


def test_killed_before_its_checkpoint_the_older_log_is_whole(tmp_path: Path) -> None:
    """`kill -9` of a process between the tiles and the checkpoint: what is served is the log of before."""
    publish.publish(tmp_path, LARGE, [LARGE.checkpoint(250)])
    code = (
        "import os, signal, sys; from pathlib import Path; from consent import publish; from tests.logs import Entries\n"
        "log, folder = Entries(600), Path(sys.argv[1])\n"
        "for batch in publish.missing(folder, log, [log.checkpoint(600)]): publish.write(folder, batch)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert "tile/0/000" in files(tmp_path) and valid(tmp_path) == 250
    publish.publish(tmp_path, LARGE, [LARGE.checkpoint(600)])
    assert valid(tmp_path) == 600


def test_what_a_folder_holds_is_never_overwritten_by_another_history(tmp_path: Path) -> None:
    """Another origin, a shorter log, other leaves, tiles that do not lead to the head: refused, and not a byte changes."""
    publish.publish(tmp_path, LARGE, [LARGE.checkpoint(300)])
    before, other = files(tmp_path), Entries(700, b"other")
    for source, text in (
        (LARGE, LARGE.checkpoint(301, "accord.test/other")),
        (LARGE, LARGE.checkpoint(299)),
        (other, other.checkpoint(300)),
        (other, other.checkpoint(700)),
        (LARGE, other.checkpoint(700)),
    ):
        with pytest.raises(Diverged):
            publish.publish(tmp_path, source, [text])
        assert files(tmp_path) == before


def test_the_files_are_for_everybody(tmp_path: Path) -> None:
    """Whatever the umask: files 0644, folders 0755, so that any web server may serve them."""
    before = os.umask(0o077)
    try:
        publish.publish(tmp_path / "log", LARGE, [LARGE.checkpoint(300)])
    finally:
        os.umask(before)
    for path in [tmp_path / "log", *(tmp_path / "log").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_any_web_server_serves_a_log_that_verifies_from_its_files_alone(tmp_path: Path) -> None:
    """Python's own http.server over the folder, and a monitor that shares no code with us."""
    publish.publish(tmp_path, LARGE, [LARGE.checkpoint(600)])
    with served(tmp_path) as url:
        assert fetched_log(url, LOG.name, LOG.public_key) == LARGE.leaves[:600]
