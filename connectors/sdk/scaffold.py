"""The first files of a connector: a function that answers, two cases of the State, and the test that holds it to its promises."""

from __future__ import annotations

import json
import re
from importlib.resources import files as resources

from connectors.rest.descriptions import descriptions
from connectors.sdk.declare import BadConnector

_NAME = re.compile(r"[a-z][a-z0-9_-]{1,40}")

CONNECTOR = '''"""{name} : répond pour {data_set}. / answers for {data_set}.

Essayer · Try:  accord connector test {name}/connector.py
Faire tourner · Run:  accord connector run {name}/connector.py
"""

from __future__ import annotations

from connectors.sdk.declare import Answered, Asked, Connector
from connectors.sdk.state import StateHttp

c = Connector("{provider}")


@c.answers("{data_set}", concurrency=16, rate="20/s", timeout_s=10)
async def answer(asked: Asked) -> Answered:
    """Appelée pour une demande autorisée ; rend les données de l'État, ou ce qu'il a dit d'autre. / Called for an authorised
    request; returns the State's data, or whatever else it said."""
    said = await asked.get("{path}", asked.query())
    return said.data() if said.status == 200 else said.refusal()


@c.status
async def ping(state: StateHttp) -> bool:
    """L'API va-t-elle bien ? / Is the API well?"""
    return (await state.get("/api/pings")).status == 200
'''

TEST = '''"""Les promesses de tout connecteur. / The promises of every connector."""

from __future__ import annotations

from pathlib import Path

from connectors.sandbox import load_cases
from connectors.sdk.kit.examine import examine

HERE = Path(__file__).parent


async def test_connector_keeps_its_promises() -> None:
    """Aucune n'est rompue. / None is broken."""
    results = await examine(str(HERE / "connector.py"), load_cases(HERE / "cases"))
    assert [result for result in results if result.verdict == "failed"] == []
'''


def files(name: str, data_set: str) -> dict[str, str]:
    """The text of each file, by its path in the new folder. Raises BadConnector for a name or data set that will not do."""
    if not _NAME.fullmatch(name):
        raise BadConnector("a name is lower-case letters, digits, - and _")
    description = descriptions().get(data_set)
    if description is None:
        raise BadConnector(f"{data_set}: {', '.join(descriptions())}")
    operation = next(each for each in description.operations if _cases(each.id) or each is description.operations[-1])
    if "{" in operation.path:
        raise BadConnector(f"{data_set}: its path holds the company; start from its description in YAML")
    filled = {"name": name, "data_set": data_set, "provider": description.provider, "path": operation.path}
    code = CONNECTOR
    for word, text in filled.items():
        code = code.replace("{" + word + "}", text)
    cases = {f"cases/{operation.id}/{file}": text for file, text in _cases(operation.id).items()}
    return {"connector.py": code, f"test_{name.replace('-', '_')}.py": TEST} | (cases or _example(operation.id))


def _cases(operation: str) -> dict[str, str]:
    """The first two of the sandbox's own cases of an operation."""
    folder = resources("connectors").joinpath("sandbox_cases", operation)
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".yaml")) if folder.is_dir() else []
    return {name: folder.joinpath(name).read_text("utf-8") for name in names[:2]}


def _example(operation: str) -> dict[str, str]:
    """A case to fill in."""
    case = {"params": {"nomNaissance": "EXEMPLE", "prenoms": ["Camille"]}, "status": 200, "payload": {"data": {}}}
    return {f"cases/{operation}/01-a-completer.yaml": json.dumps(case, indent=2, ensure_ascii=False) + "\n"}
