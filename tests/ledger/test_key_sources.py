"""Who wraps the ledger's keys at rest: nobody but the file's mode, a KEK, a PKCS#11 token (the real SoftHSM2)."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consent.keys import KEK, BadKeyFile, Master, Token, choose, open_keys, rewrap
from consent.keys.ring import LASTING, ROOT
from exchange.cli import app
from exchange.places import Places
from exchange.settings import Settings
from tests.world import World

ORIGIN = "accord.test/x"
PIN = "1234"
MODULES = [Path("/usr/lib/softhsm/libsofthsm2.so"), *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")]


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Token]:
    """A SoftHSM2 token called `accord`, its key of the same name made as the documentation says."""
    module = next((m for m in MODULES if m.exists()), None)
    if module is None or not shutil.which("pkcs11-tool") or not shutil.which("softhsm2-util"):
        pytest.skip("no SoftHSM2 here: apt-get install softhsm2 opensc")
    pytest.importorskip("pkcs11", reason="the extra accord-bus[pkcs11] is not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    (tmp_path / "pin").write_text(PIN + "\n")
    (tmp_path / "pin").chmod(0o600)
    run("softhsm2-util", "--init-token", "--free", "--label", "accord", "--pin", PIN, "--so-pin", "0000")
    run("pkcs11-tool", "--module", str(module), "--login", "--pin", PIN, "--token-label", "accord",
        "--keygen", "--key-type", "AES:32", "--label", "accord", "--sensitive")  # fmt: skip
    parts: dict[str, Any] = {"module": module, "token": "accord", "key": "accord", "pin": tmp_path / "pin"}
    return lambda **changes: Token(**parts | changes)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(params=["kek", "pkcs11"])
def master(request: pytest.FixtureRequest) -> Master:
    """Each master there is."""
    if request.param == "kek":
        return KEK(os.urandom(32))
    made: Master = request.getfixturevalue("token")()
    return made


def test_a_master_gives_back_what_it_wrapped_and_only_that(master: Master) -> None:
    """The port's contract: authenticated, bound, different at each call."""
    secret = os.urandom(32)
    wrapped = master.wrap(secret, b"bound")
    assert master.unwrap(wrapped, b"bound") == secret and secret not in wrapped
    assert master.wrap(secret, b"bound") != wrapped
    for changed in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped[:20], b""):
        with pytest.raises(BadKeyFile):
            master.unwrap(changed, b"bound")
    with pytest.raises(BadKeyFile):
        master.unwrap(wrapped, b"other")


def test_keys_at_rest_open_under_their_master_only(master: Master, tmp_path: Path) -> None:
    """Without it, or under another: one error, no file made or changed."""
    keys = tmp_path / "keys"
    made = open_keys(keys, ORIGIN, master)
    assert open_keys(keys, ORIGIN, master).secrets == made.secrets
    before = contents(keys)
    assert not [name for name, body in before.items() if any(s in body for s in made.secrets.values())]
    for other in (None, KEK(os.urandom(32))):
        with pytest.raises(BadKeyFile, match=f"^{ROOT}: "):
            open_keys(keys, ORIGIN, other)
    assert contents(keys) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_ledger_lives_through_a_move_from_each_master_to_each_other(
    token: Callable[..., Token], tmp_path: Path
) -> None:
    """File, KEK, token, another KEK, file again: the same keys, the old master opens nothing any more, one file changed."""
    folder = tmp_path / "keys"
    world = await World.open(tmp_path / "ledger.db", open_keys(folder, ORIGIN))
    a = await world.give()
    masters: list[Master | None] = [None, KEK(os.urandom(32)), token(), KEK(os.urandom(32)), None]
    for old, new in pairwise(masters):
        before = contents(folder)
        rewrap(folder, old, new)
        after = contents(folder)
        assert {name for name in before if before[name] != after[name]} == {ROOT} and before.keys() == after.keys()
        with pytest.raises(BadKeyFile):
            open_keys(folder, ORIGIN, old)
        world.keys = open_keys(folder, ORIGIN, new)
        world.restart()
        outcome = await world.told((await world.answered(a))[1])
        assert outcome.code == "released"
    world.engine.dispose()


def test_a_move_to_a_master_that_does_not_work_changes_nothing(tmp_path: Path) -> None:
    """One that gives back something else is found out before anything is replaced."""

    class Forgetful:
        kind = "forgetful"

        def wrap(self, secret: bytes, bound: bytes) -> bytes:
            return b"gone"

        def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
            return bytes(32)

    made, before = open_keys(tmp_path, ORIGIN), contents(tmp_path)
    with pytest.raises(BadKeyFile):
        rewrap(tmp_path, None, Forgetful())
    with pytest.raises(BadKeyFile):
        rewrap(tmp_path, KEK(bytes(32)), KEK(bytes(32)))
    assert contents(tmp_path) == before and open_keys(tmp_path, ORIGIN).secrets == made.secrets


def test_what_a_move_replaces_is_overwritten(tmp_path: Path) -> None:
    """The old bytes are blanked on the disk, not just unlinked: who kept the file open reads zeros."""
    open_keys(tmp_path, ORIGIN)
    with (tmp_path / ROOT).open("rb") as held:
        rewrap(tmp_path, None, KEK(bytes(32)))
        assert held.read() == bytes(32)


def test_a_move_cut_at_any_point_leaves_one_master_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends at any call to the file system leaves keys that open under the old or the new one."""
    new = KEK(bytes(32))
    for stop in range(8):
        folder = tmp_path / str(stop)
        made = open_keys(folder, ORIGIN)
        left = [stop]

        def cut(real: Callable[..., object], left: list[int] = left) -> Callable[..., object]:
            def call(*args: object) -> object:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return real(*args)

            return call

        with monkeypatch.context() as patched:
            for name in ("open", "fsync", "replace", "pwrite"):
                patched.setattr(os, name, cut(getattr(os, name)))
            with suppress(KeyboardInterrupt):
                rewrap(folder, None, new)
        opened = []
        for master in (None, new):
            try:
                opened.append(open_keys(folder, ORIGIN, master).secrets)
            except BadKeyFile:
                continue
        assert opened == [made.secrets] and not list(folder.glob("*.new"))


def test_a_token_that_is_not_the_right_one_is_one_clear_error(token: Callable[..., Token], tmp_path: Path) -> None:
    """Another label, another key, another PIN, another library: each is BadKeyFile, and no PIN is in it."""
    (tmp_path / "wrong").write_text("9999")
    (tmp_path / "wrong").chmod(0o600)
    wrong: list[dict[str, Any]] = [{"token": "other"}, {"key": "other"}, {"pin": tmp_path / "wrong"}, {"module": tmp_path / "absent.so"},
             {"pin": tmp_path / "absent"}]  # fmt: skip
    for changes in wrong:
        with pytest.raises(BadKeyFile) as refused:
            open_keys(tmp_path / "keys", ORIGIN, token(**changes))
        assert "9999" not in str(refused.value) and not (tmp_path / "keys").exists()


def test_the_token_is_asked_once_per_start(token: Callable[..., Token], tmp_path: Path) -> None:
    """Rotations and releases never wait for it: it may be unplugged once the ledger runs."""
    real, asked = token(), list[str]()

    class Counting:
        kind = real.kind

        def wrap(self, secret: bytes, bound: bytes) -> bytes:
            asked.append("wrap")
            return real.wrap(secret, bound)

        def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
            asked.append("unwrap")
            return real.unwrap(wrapped, bound)

    ring = open_keys(tmp_path / "keys", ORIGIN, Counting())
    ring.release.begin(2)
    ring.release.end()
    assert asked == ["wrap", "unwrap"]


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", base64.b64encode(bytes(31)).decode()])
def test_a_kek_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    """Not 32 bytes of base64: said without a byte of it."""
    path = tmp_path / "kek"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(BadKeyFile, match="^KEK: "):
        KEK.of_file(path)


def test_a_kek_comes_from_a_file_of_its_owner_or_a_descriptor(tmp_path: Path) -> None:
    """A credential with its line end; `/dev/fd/N` for what lies nowhere."""
    text = base64.b64encode(bytes(range(32))).decode() + "\n"
    path = tmp_path / "kek"
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(BadKeyFile, match="readable by others"):
        KEK.of_file(path)
    path.chmod(0o400)
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    wrapped = KEK(bytes(range(32))).wrap(b"secret", b"")
    assert KEK.of_file(path).unwrap(wrapped, b"") == b"secret"
    assert KEK.of_file(Path(f"/dev/fd/{reading}")).unwrap(wrapped, b"") == b"secret"
    os.close(reading)


def test_settings_make_one_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None by default; two at once, or a token without its PIN, are refused; the KEK shows in no representation."""
    text = base64.b64encode(bytes(32)).decode()
    assert Settings().master() is None
    monkeypatch.setenv("ACCORD_KEK", text)
    settings = Settings()
    assert isinstance(settings.master(), KEK) and text not in f"{settings!r} {settings}"
    with pytest.raises(BadKeyFile, match="more than one"):
        choose(text, tmp_path / "kek", None, "", "", None)
    with pytest.raises(BadKeyFile, match="no PIN"):
        choose("", None, tmp_path / "module", "accord", "accord", None)


def test_the_command_moves_the_keys_and_says_to_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`accord keys rewrap`: to a KEK, then back; it says where to only when it is told one, and fails in one line."""
    places = Places(tmp_path)
    made = open_keys(places.ledger_keys, ORIGIN)
    kek = tmp_path / "kek"
    kek.write_text(base64.b64encode(os.urandom(32)).decode())
    kek.chmod(0o600)
    command = ["keys", "rewrap", "--data", str(tmp_path), "--json"]
    assert CliRunner().invoke(app, command).exit_code == 2
    done = CliRunner().invoke(app, [*command, "--kek-file", str(kek)])
    assert (done.exit_code, done.stdout) == (0, '{"master": "kek"}\n')
    again = CliRunner().invoke(app, [*command, "--plain"])
    assert again.exit_code == 5 and "bad_key_file" in again.stdout and len(again.stdout.splitlines()) == 1
    monkeypatch.setenv("ACCORD_KEK_FILE", str(kek))
    assert CliRunner().invoke(app, [*command, "--plain"]).exit_code == 0
    assert open_keys(places.ledger_keys, ORIGIN).secrets == made.secrets
    assert set(made.secrets) == set(LASTING)
