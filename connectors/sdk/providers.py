"""The connectors there are: those of the catalogue by their provider's name, any other by its file."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import httpx

from connectors.rest.access import Account
from connectors.rest.api import RestApi
from connectors.rest.descriptions import compositions
from connectors.sdk.declare import BadConnector, Connector, Service
from connectors.sdk.lanes import Limits
from exchange.data_sets import DATA_SETS, PROVIDERS

_JSON = Limits(rate="248/min", group="json")
LIMITS: Mapping[str, Limits] = MappingProxyType({
    "insee.unite-legale.v1": _JSON,
    "insee.etablissement.v1": _JSON,
    "dgfip.chiffres-affaires.v1": _JSON,
    "urssaf.attestation-vigilance.v1": Limits(rate="50/min"),
    "dgfip.attestation-fiscale.v1": Limits(rate="5/min"),
    "dgfip.impot-particulier.v1": Limits(rate="6500/min"),
})  # fmt: skip
"""What the State allows a token (API Entreprise: JSON 250 together, of which a candidature takes three at once, documents 50, DGFiP tax certificate 5 a minute; SFiP 6500). It
counts by token: give each process its own, or its share."""
PARTICULIER = Limits(rate="20/s", group="particulier")
"""API Particulier's, for all its routes together (`commons/data/throttle.yml`)."""


def declared(file: Path) -> Connector:
    """The one `Connector` a Python file declares. Raises BadConnector; what the file itself raises is its author's to read."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise BadConnector(f"{file}: no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [value for value in vars(module).values() if isinstance(value, Connector)]
    if len(found) != 1:
        raise BadConnector(f"{file}: {len(found)} connectors, one expected")
    return found[0]


def service(
    name: str, url: str, token: str, client: httpx.AsyncClient | None = None, account: Account | None = None
) -> Service:
    """The connector of a provider of the catalogue, or of a Python file, on a State API; `account` is that of the DGFiP's gateway.

    Raises BadConnector, ValueError.
    """
    if name.endswith(".py"):
        return declared(Path(name)).open(url, token, client)
    if name not in PROVIDERS:
        raise BadConnector(f"{name}: {', '.join(PROVIDERS)}, FILE.py")
    api = RestApi(url, token, client, account=account)
    apis = {data_set.name: api for data_set in DATA_SETS.values() if data_set.provider == name}
    composed = compositions().keys() & apis.keys()
    parts = {part.data_set for name in composed for part in compositions()[name].parts.values()}
    limits = {data_set: LIMITS.get(data_set, PARTICULIER) for data_set in (apis.keys() | parts) - composed}
    return Service(name, apis, limits)
