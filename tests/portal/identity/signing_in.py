"""The identity sandbox in process, beside a portal: what tests of the spaces log in with."""

from __future__ import annotations

import re
from hashlib import sha256
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.jwk import ECKey

from connectors.sandbox import FAMILIES, load_cases
from consent.issuers import Issuer, Issuers
from consent.keys import files
from exchange.bounded import Outside
from exchange.testing import MemoryBus
from portal.core.login import with_query
from portal.core.sandbox import Registered
from portal.identity.accounts import EVERYBODY, IDENTITY, Configured, Directory
from portal.identity.people import People, people
from portal.identity.process import LABELS, ROLES
from portal.identity.relying import secret
from portal.identity.sandbox import Sandbox

URL = "http://127.0.0.1:8601"
SECRET = "s" * 40


class Provider:
    """A sandbox at `URL`, reached without a socket, that a ledger and a portal believe."""

    def __init__(self, bus: MemoryBus, root: Path, recipient: str = EVERYBODY, known: People | None = None) -> None:
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        self.people: People = known or people(load_cases(FAMILIES))
        clients = {f"bus-{kind}": Registered(f"bus-{kind}", kind, sha256(SECRET.encode()).digest()) for kind in LABELS}
        self.sandbox = Sandbox(URL, key, clients, self.people, bus.clock)
        jwks = {"keys": [dict(key.as_dict(private=False))]}
        self.issuers = Issuers(
            issuers=tuple(Issuer(self.sandbox.issuer(k), k, jwks, {f"bus-{k}": recipient}) for k in LABELS)
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.sandbox.app()), base_url=URL)
        self.outside = Outside(self.http)
        files.write(root / "fc.secret", SECRET.encode())
        ours = [
            Configured(
                name=short,
                kind=k,
                issuer=self.sandbox.issuer(k),
                client_id=f"bus-{k}",
                label=label,
                secret_file="fc.secret",
            )
            for k, (short, label) in LABELS.items()
        ]
        files.write(root / IDENTITY, msgspec.json.encode(Directory(tuple(ours), dict.fromkeys(ROLES, (EVERYBODY,)))))

    def believed_by(self, bus: MemoryBus) -> None:
        """The bus's ledger takes this sandbox's word, and nobody's declaration."""
        bus.ledger.issuers = lambda: self.issuers

    def named(self, family_name: str) -> str:
        """The id of the first citizen of that name."""
        return next(one.id for one in self.people.citizens if one.claims["family_name"] == family_name)

    async def choose(self, address: str, person: str) -> str:
        """At the page of this address, be this person; the address the browser is sent back to."""
        return await choose(self.http, address, person)

    async def access_token(self, person: str, client: str = "bus-citizen") -> str:
        """What a login of this person with a service leaves that service with."""
        return await access_token(self.http, self.sandbox.issuer("citizen"), client, SECRET, person)

    async def log_in(self, browser: httpx.AsyncClient, page: str, person: str) -> httpx.Response:
        """Follow a login link as this person, to where it leads."""
        leaving = await browser.get(page)
        while leaving.status_code == 303 and not leaving.headers["location"].startswith(URL):
            leaving = await browser.get(leaving.headers["location"])
        assert leaving.status_code == 303, leaving.text
        back = urlsplit(await self.choose(leaving.headers["location"], person))
        return await browser.get(f"{back.path}?{back.query}")


async def choose(http: httpx.AsyncClient, address: str, person: str) -> str:
    """At the sandbox's page of this address, be this person; the address the browser is sent back to."""
    page = await http.get(address)
    assert page.status_code == 200, page.text
    fields = {n: unescape(v) for n, v in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)}
    action = re.search(r'action="([^"]+)"', page.text)
    assert action is not None
    sent = await http.post(urljoin(address, action[1]), data=fields | {"person": person})
    assert sent.status_code == 303, sent.text
    return sent.headers["location"]


async def access_token(http: httpx.AsyncClient, issuer: str, client: str, password: str, person: str) -> str:
    """What a login of this person at the sandbox leaves a service with."""
    verifier, back = secret(), "http://127.0.0.1:8610/retour"
    asked = {
        "client_id": client, "redirect_uri": back, "response_type": "code", "scope": "openid", "state": secret(), "nonce": secret(),
        "code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256",
    }  # fmt: skip
    came = await choose(http, with_query(f"{issuer}/authorize", asked), person)
    form = {"grant_type": "authorization_code", "code": parse_qs(urlsplit(came).query)["code"][0], "redirect_uri": back}
    form |= {"code_verifier": verifier, "client_id": client, "client_secret": password}
    token: str = (await http.post(f"{issuer}/token", data=form)).json()["access_token"]
    return token
