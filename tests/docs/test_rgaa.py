"""The RGAA grid is whole, and what it names is there."""

from __future__ import annotations

from datetime import date

import yaml

from tests.docs.test_docs import ROOT, generator, text

CRITERIA = (9, 2, 3, 13, 8, 2, 5, 10, 4, 14, 13, 11, 12)
"""How many RGAA 4.1.2 has, by theme: 106."""
GRID = yaml.safe_load(text("docs/rgaa.yaml"))["themes"]
ROWS = [each for theme in GRID for each in theme["criteria"]]


def test_every_criterion_has_its_row() -> None:
    """Each of the 106 criteria stands in the grid once, in order."""
    assert [each["id"] for each in ROWS] == [
        f"{t}.{n}" for t, count in enumerate(CRITERIA, 1) for n in range(1, count + 1)
    ]


def test_every_row_says_how() -> None:
    """A criterion is shown by a test that exists, by a look on a day, or has no object here, with the reason; or is said to be open."""
    for each in ROWS:
        assert each["shown"] in ("test", "manual", "absent", "open") and each["how"], each["id"]
        assert ("by" in each) == (each["shown"] == "test") and ("day" in each) == (each["shown"] == "manual"), each[
            "id"
        ]
        assert "by" not in each or (ROOT / each["by"]).is_file(), each["id"]
        assert "day" not in each or date.fromisoformat(str(each["day"])), each["id"]


def test_the_page_is_the_grid() -> None:
    """The page is written from the grid."""
    assert text("docs/accessibility.md") == generator().PAGES["accessibility.md"]()
