"""What a collectivity's developer tests without a broker: the fixture `accord_bus`, here and from the wheel."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from exchange.core.errors import Code
from exchange.outcomes import ConsentWithdrawn, Expired, NotEntitled, PreviewRejected
from exchange.pytest_plugin import AccordBus

ROOT = Path(__file__).parents[2]
FAMILY = "01-couple-deux-enfants"
USERS_TEST = """
def test_the_canteen_reads_the_quotient(accord_bus):
    agreement = accord_bus.give("01-couple-deux-enfants")
    assert accord_bus.ask(agreement).data["quotient_familial"]["valeur"] == 742
"""


def test_given_asked_withdrawn(accord_bus: AccordBus) -> None:
    """An agreement opens an answer, and no longer once it was taken back."""
    agreement = accord_bus.give(FAMILY, scopes=("cnaf_quotient_familial",))
    answer = accord_bus.ask(agreement, parameters={"annee": "2026", "mois": "3"})
    assert answer.data is not None and list(answer.data) == ["quotient_familial"]
    accord_bus.withdraw(agreement)
    with pytest.raises(ConsentWithdrawn):
        accord_bus.ask(agreement)


def test_refused(accord_bus: AccordBus) -> None:
    """A refusal is the error an application gets in production, with its code."""
    agreement = accord_bus.give(FAMILY, scopes=("cnaf_adresse",))
    with pytest.raises(NotEntitled) as caught:
        accord_bus.ask(agreement, scopes=["cnaf_enfants"])
    assert caught.value.code == Code.SCOPE_EXCEEDED


def test_time_is_the_tests(accord_bus: AccordBus) -> None:
    """With the State away a request of two hours expires after two hours, which pass at once; an agreement of a day ends after a day."""
    agreement = accord_bus.give(FAMILY, not_after_ms=accord_bus.sdk.clock.now_ms() + 86_400_000)
    accord_bus.stop("connector.cnaf")
    request = accord_bus.request(agreement, ttl_s=7_200)
    accord_bus.wait(7_200)
    with pytest.raises(Expired):
        accord_bus.run(request.answer())
    accord_bus.start("connector.cnaf")
    accord_bus.wait(86_400)
    with pytest.raises(Exception, match=Code.EXPIRED):
        accord_bus.ask(agreement)


@pytest.mark.accord_bus(handover="pull")
def test_an_answer_that_waits(accord_bus: AccordBus) -> None:
    """The marker makes the bus one whose answers wait to be opened."""
    request = accord_bus.request(accord_bus.give(FAMILY))
    assert accord_bus.run(request.waiting())
    assert accord_bus.run(request.answer()).status == "found"


@pytest.mark.accord_bus(provider="cnous")
def test_another_provider(accord_bus: AccordBus) -> None:
    """And one of another provider, whose cases are there too."""
    name, case = next((n, c) for n, c in accord_bus.cases.items() if "cnous" in c.operation and c.status == 200)
    agreement = accord_bus.give(name, data_set="cnous.etudiant-boursier.v1", provider="cnous")
    assert accord_bus.ask(agreement).status == "found", case.name


@pytest.mark.accord_bus(provider="cnous")
def test_an_answer_that_its_person_lets_through(accord_bus: AccordBus) -> None:
    """A data set that asks for a preview: the test is the person, who says yes, then no."""
    agreement = accord_bus.give("boursiere-echelon-4", data_set="cnous.etudiant-boursier.v2")
    for accepted in (True, False):
        request = accord_bus.request(agreement)
        accord_bus.preview(request, accepted)
        if accepted:
            assert accord_bus.run(request.answer()).status == "found"
        else:
            with pytest.raises(PreviewRejected):
                accord_bus.run(request.answer())


def test_an_asynchronous_application(accord_bus: AccordBus) -> None:
    """What is given the SDK in production is given it here."""

    async def application() -> int:
        agreement = await accord_bus.memory.give(accord_bus.identity(FAMILY))
        asked = await accord_bus.sdk.request(
            "cnaf.quotient-familial.v1", consent=agreement, purpose="tarification-cantine"
        )
        answer = await asked.answer()
        assert answer.data is not None
        value: int = answer.data["quotient_familial"]["valeur"]
        return value

    assert accord_bus.run(application()) == 742


def test_from_the_wheel(tmp_path: Path) -> None:
    """The wheel, built and unpacked in an environment of its own, holds all that a user's three-line test needs."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)  # a wheel of pure Python is installed by unpacking it (PEP 427)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "test_canteen.py").write_text(USERS_TEST)
    command = [
        home / "bin" / "python",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:asyncio",
        "-p",
        "no:cacheprovider",
        "test_canteen.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    where = [home / "bin" / "python", "-c", "import exchange.pytest_plugin as p; print(p.__file__)"]
    assert str(site) in subprocess.run(where, cwd=tmp_path, capture_output=True, text=True).stdout
