"""The State's own sandbox cases, read in place from ``../shared/state-api-cases``: every row of an operation's ``summary.csv``,
which holds more than the YAML files beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stdnum import luhn

from connectors.core.cases import NEVER_COMPARED, Case, parse
from connectors.core.description import Description
from exchange.core.identity import Identity

STATE = Path(__file__).parents[3] / "shared" / "state-api-cases"
RECIPIENT = "21130055300016"
ASKED = {"context": "marchés publics", "object": "2026-17"}
CIVIL = {"anneeDateNaissance": 4, "moisDateNaissance": 2, "jourDateNaissance": 2}


def state_cases(operation: str) -> list[Case]:
    """Every case of one operation, named by its row."""
    with (STATE / operation / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = [(json.loads(row["Paramètres"]), int(row["Status"]), row["Réponse"]) for row in csv.DictReader(file)]
    return [
        parse(operation, f"{operation}[{at}]", {"params": params, "status": status, "payload": payload})
        for at, (params, status, payload) in enumerate(rows)
    ]


def asked_by(case: Case, description: Description) -> tuple[Identity, dict[str, str]]:
    """Who a case is about, and what it selects. The State's own examples hold sirets of no key: only ``from_wire`` refuses them."""
    wire: dict[str, Any] = {name: value for name, value in case.wire.items() if name not in NEVER_COMPARED}
    parameters = {name: str(wire.pop(name)) for name in description.parameters if name in wire}
    if required := {name for name, known in description.parameters.items() if known.required}:
        parameters |= {name: ASKED[name] for name in required}
    if siren := wire.pop("siren", ""):
        return Identity(siret=siren + "0001" + luhn.calc_check_digit(siren + "0001")), parameters
    if siret := wire.pop("siret", ""):
        return Identity(siret=siret), parameters
    return Identity.from_wire(wire), parameters


def apart(cases: Iterable[Case]) -> list[Sequence[Case]]:
    """The cases in groups within which no two are asked alike."""
    groups: list[list[Case]] = []
    for case in cases:
        fit = next((group for group in groups if all(case.params != other.params for other in group)), None)
        groups.append([case]) if fit is None else fit.append(case)
    return list(groups)
