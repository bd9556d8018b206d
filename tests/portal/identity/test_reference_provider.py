"""Logging in against the real `oidc-provider` (npm), with FranceConnect's and ProConnect's claims."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey, KeySet

from exchange.bounded import Outside
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.core.identity import read
from portal.core.login import Client, Going, NotLoggedIn
from portal.identity.accounts import Account
from portal.identity.people import people
from portal.identity.relying import LoggedIn, Relying, secret
from tests import npm

VERSION = "9.13.3"
BACK = "http://127.0.0.1:9/connexion/retour/x"
PEOPLE = people([])
WHO = {one.id: one.claims for one in (*PEOPLE.citizens, *PEOPLE.agents)}
OURS = [
    ECKey.generate_key("P-256", {"use": use, "alg": alg, "kid": use})
    for use, alg in (("sig", "ES256"), ("enc", "ECDH-ES"))
]
SIGNED = {"id_token_signed_response_alg": "ES256", "userinfo_signed_response_alg": "ES256"}
SEALED = {
    f"{what}_encrypted_response_{part}": value
    for what in ("id_token", "userinfo")
    for part, value in (("alg", "ECDH-ES"), ("enc", "A256GCM"))
}
WITH_SECRET = {"client_secret": "s" * 40, "token_endpoint_auth_method": "client_secret_post"}
PUBLIC = {"jwks": {"keys": [dict(key.as_dict(private=False)) for key in OURS]}}
CLIENTS: dict[str, dict[str, Any]] = {
    "franceconnect": SIGNED | WITH_SECRET,
    "proconnect": SIGNED | WITH_SECRET,
    "plus": SIGNED
    | SEALED
    | PUBLIC
    | {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256"},
    "hs256": SIGNED | WITH_SECRET | {"id_token_signed_response_alg": "HS256"},
    "unsigned": WITH_SECRET | {"id_token_signed_response_alg": "ES256"},
}


@dataclass
class Server:
    """The provider, and a browser at it: `person` and `acr` are who it logs in, and how."""

    url: str
    outside: Outside = field(default_factory=Outside)

    def relying(self, name: str, kind: Any = "citizen", **changes: Any) -> Relying:
        client = Client(name=name, kind=kind, issuer=self.url, client_id=name, plus=name == "plus", **changes)
        return Relying(
            Account(client, "" if name == "plus" else "s" * 40, OURS if name == "plus" else ()),
            self.outside,
            SystemClock(),
        )

    async def answer(self, address: str, person: str, acr: str = "") -> dict[str, str]:
        """What the browser brings back from there."""
        async with httpx.AsyncClient(headers={"x-person": person} | ({"x-acr": acr} if acr else {})) as browser:
            for _ in range(10):
                if address.startswith(BACK):
                    break
                response = await browser.get(address)
                assert response.status_code in (302, 303), response.text
                address = str(response.url.join(response.headers["location"]))
        return dict(parse_qsl(urlsplit(address).query))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL."""
    modules = npm.modules(
        "oidc-provider", {"oidc-provider": VERSION}, "logging in is shown against our own sandbox only"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    registered = [
        {
            "client_id": name, "redirect_uris": [BACK], "post_logout_redirect_uris": ["http://127.0.0.1:9/deconnexion"],
            "subject_type": "pairwise", "response_types": ["code"], "grant_types": ["authorization_code"], **known,
        }
        for name, known in CLIENTS.items()
    ]  # fmt: skip
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256", "kid": "op"})
    settings = {"port": port, "clients": registered, "jwks": KeySet([key]).as_dict(private=True), "people": WHO}
    argv = ["node", str(Path(__file__).with_name("oidc.mjs")), str(modules), json.dumps(settings)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
async def server(started: str) -> Any:
    found = Server(started)
    yield found
    await found.outside.close()


def going(relying: Relying, **changes: Any) -> Going:
    given = {
        "client": relying.client.name, "state": secret(), "nonce": secret(), "verifier": secret(), "role": relying.client.kind,
        "began_ms": SystemClock().now_ms(),
    }  # fmt: skip
    return Going(**given | changes)


async def log_in(server: Server, relying: Relying, person: str, *, acr: str = "", **changes: Any) -> LoggedIn:
    """The whole way; `changes` are of what we remember of the login when the browser is back."""
    began = going(relying, **{name: value for name, value in changes.items() if name == "assurance"})
    answer = await server.answer(await relying.leaving(began, BACK), person, acr)
    remembered = Going(**{name: getattr(began, name) for name in Going.__struct_fields__} | changes)
    return await relying.came_back(remembered, answer, BACK)


async def refusal(server: Server, relying: Relying, person: str, **changes: Any) -> Code:
    with pytest.raises(NotLoggedIn) as refused:
        await log_in(server, relying, person, **changes)
    return refused.value.code


@pytest.mark.parametrize("person", [one.id for one in PEOPLE.citizens])
async def test_every_identity_at_the_edge_logs_in(server: Server, person: str) -> None:
    """Born abroad, without day, month, given name, sex or known country: each is who the claims say, and the level is the one asked."""
    found = await log_in(server, server.relying("franceconnect"), person, assurance="eidas1")
    identity, claims = read(found.identity), WHO[person]
    assert (identity.nom_naissance, identity.date_naissance) == (claims["family_name"], claims["birthdate"])
    assert " ".join(identity.prenoms) == claims.get("given_name", "")
    assert identity.code_cog_insee_commune_naissance == claims.get("birthplace", "")
    assert identity.code_cog_insee_pays_naissance == claims.get("birthcountry", "")
    assert (found.assurance, found.agent) == ("eidas1", None)


async def test_france_connect_plus_encrypts_to_us(server: Server) -> None:
    """`private_key_jwt`, ID token and userinfo encrypted: what is kept is the JWS inside, as the ledger wants it."""
    found = await log_in(server, server.relying("plus", acr=("eidas2", "eidas3")), "abroad", assurance="eidas2")
    assert found.assurance == "eidas2"
    assert found.id_token.count(".") == found.userinfo.count(".") == 2


async def test_an_agent_logs_in_with_proconnect_s_own_claims(server: Server) -> None:
    """`usual_name` and `siret`, `iss` in the callback."""
    found = await log_in(server, server.relying("proconnect", "agent"), "counter")
    assert found.agent is not None
    assert (found.agent.name, found.agent.siret, found.identity) == ("Mireille TARDIEU", "21130055300016", b"")


async def test_who_turns_back_is_told_so(server: Server) -> None:
    """`access_denied` is the person's own choice, not an error of ours."""
    assert await refusal(server, server.relying("franceconnect"), "nobody") is Code.LOGIN_REFUSED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": "another"}, Code.LOGIN_INVALID),
        ({"nonce": "another"}, Code.LOGIN_INVALID),
        ({"verifier": "v" * 43}, Code.LOGIN_INVALID),
        ({"began_ms": 1}, Code.LOGIN_EXPIRED),
    ],
)
async def test_an_answer_to_another_login_is_refused(server: Server, changes: dict[str, Any], code: Code) -> None:
    """State, nonce and PKCE tie the answer to the browser that asked, within ten minutes."""
    assert await refusal(server, server.relying("franceconnect"), "abroad", **changes) is code


async def test_the_level_is_what_the_answer_says(server: Server) -> None:
    """A level below the one asked for is refused, whatever was asked."""
    relying = server.relying("franceconnect")
    assert await refusal(server, relying, "abroad", assurance="eidas3", acr="eidas1") is Code.ASSURANCE_TOO_LOW
    assert (await log_in(server, relying, "abroad", assurance="eidas2", acr="eidas3")).assurance == "eidas3"
    low = server.relying("franceconnect", acr=("eidas1",))
    assert await refusal(server, low, "abroad", assurance="eidas2") is Code.ASSURANCE_TOO_LOW


async def test_a_shared_secret_signs_nothing(server: Server) -> None:
    """A token signed with HS256, or a userinfo that is not signed, proves nothing to the ledger: refused."""
    assert await refusal(server, server.relying("hs256"), "abroad") is Code.LOGIN_INVALID
    assert await refusal(server, server.relying("unsigned"), "abroad") is Code.LOGIN_INVALID


async def test_an_answer_that_another_provider_names_is_refused(server: Server) -> None:
    """Mix-up (RFC 9207): the issuer in the callback is the one the browser was sent to."""
    relying = server.relying("franceconnect")
    began = going(relying)
    answer = await server.answer(await relying.leaving(began, BACK), "abroad")
    assert answer["iss"] == server.url
    for changed in (
        {**answer, "iss": "https://else.test"},
        {name: value for name, value in answer.items() if name != "iss"},
    ):
        with pytest.raises(NotLoggedIn, match=Code.LOGIN_INVALID):
            await relying.came_back(began, changed, BACK)


async def test_a_code_serves_once(server: Server) -> None:
    """The second use of a code is refused by the provider, and told as an invalid login."""
    relying = server.relying("franceconnect")
    began = going(relying)
    answer = await server.answer(await relying.leaving(began, BACK), "abroad")
    await relying.came_back(began, answer, BACK)
    with pytest.raises(NotLoggedIn, match=Code.LOGIN_INVALID):
        await relying.came_back(began, answer, BACK)


async def test_logging_out_ends_the_session_there(server: Server) -> None:
    """The provider takes our `id_token_hint` and `state`, and knows where to send the browser back."""
    relying = server.relying("franceconnect")
    found = await log_in(server, relying, "abroad")
    address = await relying.logging_out(found.id_token, "s-1", "http://127.0.0.1:9/deconnexion")
    async with httpx.AsyncClient() as browser:
        page = (await browser.get(address)).text
        action, xsrf = re.search(r'action="([^"]+)"', page), re.search(r'name="xsrf" value="([^"]+)"', page)
        assert action is not None and xsrf is not None, page
        left = await browser.post(action[1], data={"xsrf": xsrf[1], "logout": "yes"})
    assert left.headers["location"] == "http://127.0.0.1:9/deconnexion?state=s-1"


async def test_a_provider_that_is_another_or_does_not_answer(server: Server) -> None:
    """The issuer of the discovery document is the one configured; silence is told as such."""
    for url in ("http://127.0.0.1:1", server.url + "/else"):
        lost = Server(url)
        assert await refusal(lost, lost.relying("franceconnect"), "abroad") is Code.IDENTITY_PROVIDER_UNAVAILABLE
        await lost.outside.close()
