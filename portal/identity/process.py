"""The identity sandbox's process: it makes itself known to the ledger, to the portal and to the collectivity of its data directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from joserfc.jwk import ECKey

from connectors.sandbox import FAMILIES, load_cases
from consent.core.agreement import reference_of
from consent.issuers import Issuer, Issuers, read_issuers, write_issuers
from consent.keys import files
from exchange.clock import SystemClock
from exchange.core.urls import LOOPBACK
from exchange.places import Places
from portal.core.login import Kind
from portal.core.sandbox import Registered, subject
from portal.identity.accounts import EVERYBODY, IDENTITY, Configured, Directory, read_directory
from portal.identity.people import people
from portal.identity.sandbox import Sandbox, pairwise
from portal.serving import HOST, listening, serve

ROLES = ("agent", "officer", "operator")
EVERYONE: tuple[str, ...] = (EVERYBODY,)
LABELS: dict[Kind, tuple[str, str]] = {
    "citizen": ("franceconnect", "FranceConnect"),
    "agent": ("proconnect", "ProConnect"),
}
BUS = "accord-bus"


async def run_identity_sandbox(places: Places, recipient: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve on this machine's loopback until SIGTERM; its issuers are believed and its clients known before `ready` is called."""
    with closing(listening(port)) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        key = _key(places.identity)
        spaces = {BUS: (places.root, EVERYBODY), f"mairie-{recipient}": (places.collectivity(recipient), recipient)}
        clients = {
            f"{name}-{kind}": _registered(f"{name}-{kind}", kind, root)
            for name, (root, _) in spaces.items()
            for kind in LABELS
        }
        sandbox = Sandbox(url, key, clients, people(load_cases(FAMILIES)), SystemClock())
        _believe(
            places.issuers,
            sandbox,
            key,
            {f"{name}-{kind}": whose for name, (_, whose) in spaces.items() for kind in LABELS},
        )
        for name, (root, _) in spaces.items():
            _introduce(root, name, sandbox)
        await serve(sandbox.app(), listener, lambda: ready(url))


def reference_of_agent(places: Places, person: str) -> str:
    """By what the bus knows a fictitious agent who logs in at its portal, as the sandbox of this data directory last introduced itself."""
    client = next(one for one in read_directory(places.root).clients if one.client_id == f"{BUS}-agent")
    return reference_of(client.issuer, subject(pairwise(_key(places.identity)), client.client_id, person))


def _key(folder: Path) -> ECKey:
    """The signing key in its file, made at the first start."""
    path = folder / "sandbox.jwk"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        files.write(path, json.dumps(made.as_dict(private=True)).encode())
    return ECKey.import_key(json.loads(files.read(path)))


def _secret(root: Path, client_id: str) -> Path:
    return root / "identity" / f"{client_id}.secret"


def _registered(client_id: str, kind: Kind, root: Path) -> Registered:
    path = _secret(root, client_id)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write(path, os.urandom(32).hex().encode())
    return Registered(client_id, kind, sha256(files.read(path)).digest())


def _believe(path: Path, sandbox: Sandbox, key: ECKey, clients: dict[str, str]) -> None:
    """The ledger believes this sandbox, in place of one that served elsewhere on this machine; other issuers stay."""
    known, jwks = read_issuers(path), {"keys": [dict(key.as_dict(private=False))]}
    others = [one for one in known.issuers if urlsplit(one.issuer).hostname not in LOOPBACK]
    ours = [
        Issuer(
            sandbox.issuer(kind), kind, jwks, {name: whose for name, whose in clients.items() if name.endswith(kind)}
        )
        for kind in LABELS
    ]
    write_issuers(path, Issuers(known.declared, (*others, *ours)))


def _introduce(root: Path, name: str, sandbox: Sandbox) -> None:
    """Its clients are in `identity.json`, in place of those of a sandbox before; other clients stay, and then let in whom they did."""
    known = read_directory(root)
    others = [client for client in known.clients if urlsplit(client.issuer).hostname not in LOOPBACK]
    ours = [
        Configured(
            name=short, kind=kind, issuer=sandbox.issuer(kind), client_id=f"{name}-{kind}", label=label,
            secret_file=str(_secret(root, f"{name}-{kind}").relative_to(root)),
        )
        for kind, (short, label) in LABELS.items()
    ]  # fmt: skip
    admitted = known.admitted if others else dict.fromkeys(ROLES, EVERYONE)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write(root / IDENTITY, msgspec.json.format(msgspec.json.encode(Directory((*others, *ours), admitted))))
