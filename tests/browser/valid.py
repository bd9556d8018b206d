"""What the server sent, read by the Nu Html Checker of the W3C (vnu-jar, from npm, in Java): RGAA 8.2."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from exchange.embedded.node import java
from tests.npm import modules

VERSION = "26.9.27"
WHY = "the pages' HTML is not checked"


def complaints(pages: Iterable[Path]) -> list[str]:
    """Every error in these pages; warnings are not counted."""
    jar = modules("vnu", {"vnu-jar": VERSION}, WHY) / "node_modules/vnu-jar/build/dist/vnu.jar"
    asked = [
        str(java()),
        "-jar",
        str(jar),
        "--format",
        "json",
        "--exit-zero-always",
        "--errors-only",
        *map(str, sorted(pages)),
    ]
    told = json.loads(subprocess.run(asked, capture_output=True, check=True, timeout=120).stderr)["messages"]
    return [
        f"{Path(one.get('url', '')).name}:{one.get('lastLine', 0)}: {one['message']}"
        for one in told
        if one["type"] != "info"
    ]
