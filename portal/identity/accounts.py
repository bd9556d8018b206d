"""Our accounts at identity providers, as `identity.json` of the data directory names them; their secrets lie in files of mode 0600."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from consent.core.agreement import reference_of
from consent.keys import BadKeyFile, files
from exchange.core.errors import Code
from portal.core.login import Client, Kind, NotLoggedIn

IDENTITY = "identity.json"
"""Name in the data directory."""
EVERYBODY = "*"


class Configured(Client, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client as the file has it: one of the two, a path from the data directory. `secret_file`: a shared secret (`client_secret_post`);
    `key_file`: our private keys (JWKS, P-256), `use: sig` for `private_key_jwt`, `use: enc` for what is encrypted to us."""

    secret_file: str = ""
    key_file: str = ""


class Directory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `admitted`: by role (`agent`, `officer`, `operator`), the references (or subjects) that an agents' provider may let in, `*`
    for anybody it knows; a role that is not there lets nobody in. Citizens need not be named."""

    clients: tuple[Configured, ...] = ()
    admitted: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Account:
    """A client with its secret, or its keys."""

    client: Client
    secret: str = field(default="", repr=False)
    keys: Sequence[ECKey] = field(default=(), repr=False)

    def key(self, use: str) -> ECKey | None:
        """The private key of this use, `sig` or `enc`."""
        return next((key for key in self.keys if key.as_dict().get("use") == use), None)


def admit(directory: Directory, role: str, issuer: str, subject: str) -> None:
    """`NotLoggedIn` unless this subject of this issuer may enter in this role. A bare subject is enough where agents have one issuer:
    two could give the same to two people."""
    named, issuers = directory.admitted.get(role, ()), {one.issuer for one in directory.clients if one.kind == "agent"}
    known = {EVERYBODY, reference_of(issuer, subject)} | ({subject} if issuers == {issuer} else set())
    if role != "citizen" and not known & set(named):
        raise NotLoggedIn(Code.NOT_ADMITTED)


def kind_of(role: str) -> Kind:
    """Whom a role logs in with: citizens with theirs, all others as public agents."""
    return "citizen" if role == "citizen" else "agent"


def read_directory(root: Path) -> Directory:
    """The file of a data directory, nothing in it where it is absent; ValueError if it cannot be read."""
    path = root / IDENTITY
    return msgspec.json.decode(path.read_bytes(), type=Directory) if path.exists() else Directory()


def read_account(root: Path, configured: Configured) -> Account:
    """A client with its secrets; BadKeyFile where they are absent, readable by others, or no keys."""
    if configured.secret_file:
        return Account(configured, files.read(root / configured.secret_file).decode("ascii").strip())
    try:
        listed = KeySet.import_key_set(json.loads(files.read(root / configured.key_file))).keys
    except (JoseError, ValueError) as error:
        raise BadKeyFile(f"{configured.key_file}: no keys") from error
    if not listed or not all(isinstance(key, ECKey) for key in listed):
        raise BadKeyFile(f"{configured.key_file}: no P-256 keys")
    return Account(configured, keys=[key for key in listed if isinstance(key, ECKey)])
