"""The State's look: from npm, as published, for who declares to be of the State; nobody else is served at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange import npm
from exchange.cli import app
from exchange.core.errors import Code
from exchange.ports import Refused
from exchange.settings import Settings
from portal import theme
from portal.core.theme import CSS, place_of, read_declaration
from tests.portal.stand import portal

ENTITY, SIREN = "Direction interministérielle imaginaire", "130025265"
DECLARED = ["--entity", ENTITY, "--siren", SIREN, "--declare"]
LOCKED = npm.read_lock(theme.LOCK)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory into which the command put the real package."""
    folder = tmp_path_factory.mktemp("dsfr")
    done = CliRunner().invoke(app, ["theme", "dsfr", *DECLARED, "--data", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    return folder


def settings(folder: Path) -> Settings:
    return Settings(data=folder, theme="dsfr")


def test_what_is_kept(installed: Path) -> None:
    """Styles, fonts, icons and the licence: of 7,000 files and more what pages need, and no script."""
    served = settings(installed).places().dsfr / theme.SERVED
    kinds = {path.suffix for path in served.rglob("*") if path.is_file()}
    assert (served / CSS).stat().st_size > 400_000 and (served / "LICENSE.md").exists()
    assert kinds == {".css", ".woff2", ".svg", ".md"}
    assert sum(path.stat().st_size for path in served.rglob("*")) < 8 << 20


async def test_the_pages_are_the_states(installed: Path, tmp_path: Path) -> None:
    """With it, pages load the DSFR from our own address and show Marianne and who declared; the package's style refers to nothing elsewhere."""
    opened = theme.open_theme(settings(installed).places(), settings(installed))
    assert opened is not None and opened.entity == ENTITY
    places = settings(installed).places()
    async with portal(tmp_path, changes={"theme": opened, "places": places}) as stand:
        page = (await stand.browser.get("/")).text
        assert "fr-logo" in page and ENTITY in page and "simple.min.css" not in page and "style=" not in page
        css = await stand.browser.get(f"/theme/{CSS}?v={opened.version}")
        assert css.status_code == 200 and "immutable" in css.headers["cache-control"]
        for path in ("declaration.json", "../declaration.json", "%2e%2e/declaration.json", "../sha256.json"):
            assert (await stand.browser.get(f"/theme/{path}")).status_code == 404
    text = css.text
    assert "url(http" not in text and "url(//" not in text and "@import" not in text


async def test_neutral_is_the_default(tmp_path: Path) -> None:
    """Without the setting nothing of the DSFR is served or named, installed or not."""
    assert Settings().theme == "neutral" and theme.open_theme(Settings(data=tmp_path).places(), Settings()) is None
    async with portal(tmp_path) as stand:
        page = (await stand.browser.get("/")).text
        assert "fr-" not in page.replace("fr-FR", "") and "simple.min.css" in page
        assert (await stand.browser.get(f"/theme/{CSS}")).status_code == 404


def test_no_portal_without_the_declaration(installed: Path, tmp_path: Path) -> None:
    """Asked for and not declared, or declared for another version's terms: refused; so is an installation that was changed."""
    with pytest.raises(Refused) as refused:
        theme.open_theme(settings(tmp_path).places(), settings(tmp_path))
    assert refused.value.code is Code.THEME_UNDECLARED
    places = settings(installed).places()
    said = (places.dsfr / theme.DECLARATION).read_bytes()
    assert read_declaration(said, LOCKED.version) is not None and read_declaration(said, "1.0.0") is None
    assert read_declaration(said.replace(SIREN.encode(), b"130025266"), LOCKED.version) is None
    css = places.dsfr / theme.SERVED / CSS
    whole = css.read_bytes()
    css.write_bytes(whole + b" ")
    with pytest.raises(Refused) as refused:
        theme.open_theme(places, settings(installed))
    css.write_bytes(whole)
    assert refused.value.code is Code.THEME_ABSENT


@pytest.mark.parametrize("command", [["dev"], ["portal", "run", "--kafka", "127.0.0.1:1"]])
def test_commands_refuse_to_start(command: list[str], tmp_path: Path) -> None:
    """`accord dev` and the portal say it in words, before anything runs."""
    done = CliRunner().invoke(app, [*command, "--data", str(tmp_path), "--json"], env={"ACCORD_THEME": "dsfr"})
    assert done.exit_code == 3 and "theme_undeclared" in done.stdout
    assert not (tmp_path / "run" / "nursery.log").exists()


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [([], 3), (["--entity", ENTITY, "--siren", SIREN], 3), (["--declare"], 2), (["--declare", "--entity", ENTITY, "--siren", "1"], 2)],
)  # fmt: skip
def test_nothing_is_fetched_undeclared(options: list[str], exit_code: int, tmp_path: Path) -> None:
    """Who may use it is said, in French first; without a declaration that names an entity nothing is fetched."""
    done = CliRunner().invoke(app, ["theme", "dsfr", *options, "--data", str(tmp_path)], env={"LANG": "fr_FR.UTF-8"})
    assert done.exit_code == exit_code and "collectivités territoriales" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_another_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that is not the one written down is thrown away, and what was installed before stays."""
    monkeypatch.setattr(npm, "read_lock", lambda _: replaced(integrity=LOCKED.integrity[:-4] + "AA=="))
    places = Settings(data=tmp_path).places()
    with pytest.raises(Refused) as refused:
        theme.install(places, ENTITY, SIREN, 0)
    assert refused.value.code is Code.PACKAGE_UNAVAILABLE and not places.dsfr.exists()
    assert list(places.dsfr.parent.iterdir()) == []


def replaced(**changes: str) -> npm.Locked:
    return LOCKED._replace(**changes)


def test_without_node(tmp_path: Path) -> None:
    """A machine without npm is told so, and what to do."""
    argv = ["theme", "dsfr", *DECLARED, "--data", str(tmp_path)]
    done = CliRunner().invoke(app, argv, env={"PATH": str(tmp_path), "LANG": "fr_FR.UTF-8"})
    assert done.exit_code == 4 and "Node.js" in done.output and "npm_absent" in done.output
    assert os.environ["PATH"] != str(tmp_path)


@pytest.mark.parametrize(
    ("member", "place"),
    [
        ("dist/dsfr.min.css", CSS), ("dist/fonts/Marianne-Bold.woff2", "fonts/Marianne-Bold.woff2"), ("LICENSE.md", "LICENSE.md"),
        ("dist/icons/system/arrow.svg", "icons/system/arrow.svg"), ("dist/dsfr.module.min.js", ""), ("dist/fonts/../../x.woff2", ""),
        ("dist/fonts/Marianne-Bold.woff", ""), ("dist/icons/../../../etc/x.svg", ""), ("src/dsfr.min.css", ""),
    ],
)  # fmt: skip
def test_places(member: str, place: str) -> None:
    """Names lead into the folder or nowhere."""
    assert place_of(member) == place
