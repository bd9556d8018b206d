"""Logins of people's browsers: begun for a role, and maybe for one act; ended where the identity provider sends them back."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from consent.core.agreement import reference_of
from consent.keys import BadKeyFile
from exchange.bounded import Outside
from exchange.core.errors import Code
from exchange.ports import Clock
from portal.core.login import Going, NotLoggedIn
from portal.identity.accounts import Directory, admit, kind_of, read_account, read_directory
from portal.identity.relying import LoggedIn, Relying, secret
from portal.web.sessions import Session

GOING, LEFT = "going", "left"
GOING_MAX = 4
"""Logins under way in one browser: more tabs than that, and the oldest is forgotten."""


class Logins:
    """Those of one portal. `identity.json` is read at each login: a sandbox, or an operator, may write it meanwhile."""

    def __init__(self, root: Path, url: str, outside: Outside, clock: Clock) -> None:
        self._root, self._url, self._outside, self._clock = root, url, outside, clock
        self._relying: dict[str, tuple[object, Relying]] = {}

    def choices(self, role: str) -> Sequence[tuple[str, str]]:
        """Name and label of each identity provider for this role."""
        kind = kind_of(role)
        return [
            (client.name, client.label or client.name) for client in self._directory().clients if client.kind == kind
        ]

    async def leave(
        self,
        session: Session,
        role: str,
        name: str,
        then: str = "/",
        *,
        nonce: str = "",
        assurance: str = "",
        subject: str = "",
    ) -> str:
        """The address at the identity provider that logs in somebody for a role, who then goes on to `then`. With a `nonce` the login is
        bound to an act (`consent.core.agreement.grant_nonce`); `subject` is kept beside it for whoever asked. Raises `NotLoggedIn`."""
        going = Going(
            client=name, state=secret(), nonce=nonce or secret(), verifier=secret(), began_ms=self._clock.now_ms(),
            role=role, assurance=assurance, then=then, subject=subject,
        )  # fmt: skip
        address = await self._of(name, role).leaving(going, self._return(name))
        session.put(GOING, [*session.data.get(GOING, [])[1 - GOING_MAX :], msgspec.to_builtins(going)])
        return address

    async def come_back(self, session: Session, name: str, answer: Mapping[str, str]) -> str:
        """Somebody comes back; where they go on. What is then in the session under their role is `who`. Raises `NotLoggedIn`."""
        under_way = [msgspec.convert(each, Going) for each in session.take(GOING) or []]
        going = next((one for one in under_way if one.state == answer.get("state") and one.client == name), None)
        if going is None:
            raise NotLoggedIn(Code.LOGIN_INVALID)
        found = await self._of(name, going.role).came_back(going, answer, self._return(name))
        admit(self._directory(), going.role, found.client.issuer, found.subject)
        session.let_in(going.role, who(found, going, self._clock.now_ms()))
        return going.then

    async def log_out(self, session: Session) -> str:
        """Everything of this browser is forgotten; the identity provider's address that ends its session too, empty where there is none."""
        found = next((each for each in session.data.get("logins", {}).values() if each.get("id_token")), None)
        session.end()
        if found is None:
            return ""
        try:
            relying = self._of(found["client"])
        except NotLoggedIn:
            return ""
        return await relying.logging_out(found["id_token"], secret(), f"{self._url}/deconnexion")

    def _directory(self) -> Directory:
        """A file that cannot be read lets nobody log in; people's other ways stay open."""
        try:
            return read_directory(self._root)
        except (OSError, ValueError) as error:
            structlog.get_logger().warning("identity_file", error=type(error).__name__)
            return Directory()

    def _of(self, name: str, role: str = "") -> Relying:
        configured = next((client for client in self._directory().clients if client.name == name), None)
        if configured is None or (role and configured.kind != kind_of(role)):
            raise NotLoggedIn(Code.IDENTITY_PROVIDER_UNAVAILABLE)
        known = self._relying.get(name)
        if known is None or known[0] != configured:
            try:
                known = configured, Relying(read_account(self._root, configured), self._outside, self._clock)
            except (BadKeyFile, ValueError):
                raise NotLoggedIn(Code.BAD_KEY_FILE) from None
            self._relying[name] = known
        return known[1]

    def _return(self, name: str) -> str:
        return f"{self._url}/connexion/retour/{name}"


def who(found: LoggedIn, going: Going, now_ms: int) -> dict[str, Any]:
    """What a session keeps of a login, for its role. Citizens have an `identity` (canonical, base64); agents a `reference`, by
    which alone they are known, a `name` to be shown to them, and a `siret`."""
    kept = {
        "client": found.client.name, "subject": found.subject, "assurance": found.assurance, "at_ms": now_ms, "for": going.subject,
        "id_token": found.id_token, "userinfo": found.userinfo,
    }  # fmt: skip
    if found.agent is not None:
        reference = reference_of(found.client.issuer, found.subject)
        return kept | {"reference": reference, "name": found.agent.name, "siret": found.agent.siret}
    return kept | {"identity": base64.b64encode(found.identity).decode()}
