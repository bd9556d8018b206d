"""What the cases of the DGFiP's gateway mean, said without the connector's help."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateRefusal
from connectors.core.cases import Case

CONTRACTS = (("api-impot-particulier.swagger.json", "/impotparticulier/1.0"), ("api-sfip.swagger.json", "/sfip/v1"))
"""Each contract, and where its routes are on the gateway."""
NAME = "dgfip.impot-particulier.v1"
ROOTS = ("rfr", "nbPart", "sitFam", "pac", "aft", "nmNaiDec1", "nmUsaDec1", "prnmDec1", "nmNaiDec2", "nmUsaDec2", "prnmDec2")  # fmt: skip


def meant(case: Case) -> Reading:
    """The reading of a case: what is said under the data set's own names, or the DGFiP's number."""
    body: Any = json.loads(case.payload)
    if case.status == 200:
        kept = {name: body[name] for name in ROOTS if name in body}
        return Found(kept | ({"nbPac": body["pac"]["nbPac"]} if "pac" in body else {}))
    error = body.get("erreur") or {"code": body["codeapp"], "message": body["message"]}
    code, title = str(error["code"]), error["message"]
    if case.status == 503:
        return Retry(code, 0.0)
    if code == "4031":
        return Failure(code, "forbidden")
    return (NotFound if case.status in (404, 410, 416) else StateRefusal)(code, title)


def contract(file: Path, base: str) -> dict[str, Any]:
    """A swagger file, its routes under the gateway's path, their parameters in place."""
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    named = document["components"]["parameters"]
    for route in document["paths"].values():
        route["get"]["parameters"] = [named[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in route["get"]["parameters"]]  # fmt: skip
    return document | {"paths": {base + path: route for path, route in document["paths"].items()}}


def errors(document: dict[str, Any]) -> set[tuple[int, str]]:
    """Every status and number the contract gives an error: in its examples (SFiP), in its words (`codeapp`)."""
    found: set[tuple[int, str]] = set()
    for route in document["paths"].values():
        for status, said in route["get"]["responses"].items():
            if status.isdigit() and status != "200":
                found |= {(int(status), code) for code in re.findall(r"codeapp (\d+)", said["description"])}
                examples = [content.get("example", {}) for content in said.get("content", {}).values()]
                found |= {(int(status), str(example["erreur"]["code"])) for example in examples if "erreur" in example}
    return found
