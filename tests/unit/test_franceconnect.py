"""FranceConnect's word on a token: what is believed, and each lie refused; over real HTTP, really signed and encrypted."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from consent.core.pivot import matches
from exchange.bounded import ANSWER_MAX_BYTES
from exchange.core.errors import Code
from exchange.core.franceconnect import Expected, NotVouched, vouched
from exchange.core.identity import Identity
from exchange.franceconnect import FranceConnect, NotIdentified
from exchange.testing import VirtualClock
from tests.franceconnect import CLIENT, ISSUER, PIVOT, SECRET, SERVICE, Provider, serving

MAELLE = Identity(
    "TREVARIN", prenoms=("Maëlle", "Anne"), date_naissance="1988-04-12", sexe_etat_civil="F",
    code_cog_insee_pays_naissance="99100", code_cog_insee_commune_naissance="35238",
)  # fmt: skip
EXPECTED = Expected(ISSUER, CLIENT, frozenset((SERVICE,)))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serving(Provider(VirtualClock())) as listening:
        yield listening


async def introspected(provider: Provider, token: str, scopes: frozenset[str] = frozenset(), **settings: Any) -> Any:
    """The person, or the code of the refusal."""
    async with FranceConnect(replace(provider.settings, **settings), provider.clock) as france_connect:
        try:
            return (await france_connect.introspect(token, scopes)).identity
        except NotIdentified as refused:
            return refused.code


class TestVouched:
    """What a good answer gives."""

    @pytest.mark.parametrize("key", [lambda: None, lambda: RSAKey.generate_key(2048, {"kid": "accord", "use": "enc"})])
    async def test_the_person_comes_out(self, key: Callable[[], RSAKey | None]) -> None:
        """A JWE, by RSA-OAEP or ECDH-ES, of a JWS is the canonical identity; the token is asked with our account."""
        with serving(Provider(VirtualClock(), key())) as provider:
            assert await introspected(provider, provider.login("t")) == MAELLE
            assert provider.forms == [{"client_id": CLIENT, "client_secret": SECRET, "token": "t"}]

    @pytest.mark.parametrize(
        ("claims", "identity"),
        [
            ({"given_name_array": None}, MAELLE),
            ({"preferred_username": "KERMAREC"}, replace(MAELLE, nom_usage="KERMAREC")),
            ({"gender": "male"}, replace(MAELLE, sexe_etat_civil="M")),
            ({"birthplace": "", "birthcountry": "99326"}, replace(MAELLE, code_cog_insee_commune_naissance="", code_cog_insee_pays_naissance="99326")),
            ({"birthdate": "1988-04-01"}, replace(MAELLE, date_naissance="1988-04-01")),
            ({"given_name": "Jean Paul Marie", "given_name_array": ["Jean Paul", "Marie"]}, replace(MAELLE, prenoms=("Jean Paul", "Marie"))),
        ],
    )  # fmt: skip
    async def test_pivots(self, provider: Provider, claims: dict[str, Any], identity: Identity) -> None:
        """Names in one text or several, a usage name, a birth abroad, a presumed day: as FranceConnect has them; the ledger finds the same person."""
        found = await introspected(provider, provider.login("t", **claims))
        assert found == identity
        assert matches(found, PIVOT | claims)

    async def test_levels_and_scopes_at_least(self, provider: Provider) -> None:
        """A higher level and more scopes than needed do."""
        token = provider.login("t", acr="eidas3")
        scopes = frozenset(("cnaf_quotient_familial",))
        assert await introspected(provider, token, scopes, assurance="eidas2") == MAELLE

    async def test_keys_are_read_once_and_again_when_they_turn(self, provider: Provider) -> None:
        """FranceConnect's keys are kept an hour; a new one is found at most a minute later, the old one no longer believed."""
        clock = provider.clock
        assert isinstance(clock, VirtualClock)
        async with FranceConnect(provider.settings, clock) as france_connect:
            for token in ("a", "b"):
                await france_connect.introspect(provider.login(token))
            assert provider.keys_read == 1
            old, provider.signing = provider.signing, ECKey.generate_key("P-256", {"kid": "fc-2", "use": "sig"})
            with pytest.raises(NotIdentified):
                await france_connect.introspect(provider.login("c"))
            assert provider.keys_read == 1
            clock.advance(60_000)
            assert (await france_connect.introspect(provider.login("d"))).identity == MAELLE
            provider.seal = lambda claims: provider.encrypted(provider.signed(claims, old))
            with pytest.raises(NotIdentified):
                await france_connect.introspect(provider.login("e"))


CLAIMS: dict[str, tuple[dict[str, Any], Code]] = {
    "inactive": ({"active": False}, Code.FRANCECONNECT_EXPIRED),
    "active in words": ({"active": "true"}, Code.FRANCECONNECT_EXPIRED),
    "another service": ({"aud": "teleservice-voisin"}, Code.FRANCECONNECT_INVALID),
    "several services": ({"aud": [SERVICE, "x"]}, Code.FRANCECONNECT_INVALID),
    "no service": ({"aud": None}, Code.FRANCECONNECT_INVALID),
    "no end": ({"exp": None}, Code.FRANCECONNECT_INVALID),
    "an end in words": ({"exp": "2099"}, Code.FRANCECONNECT_INVALID),
    "an end that is true": ({"exp": True}, Code.FRANCECONNECT_INVALID),
    "endless": ({"exp": 1 << 40}, Code.FRANCECONNECT_INVALID),
    "from the future": ({"iat": 1 << 40, "exp": (1 << 40) + 60}, Code.FRANCECONNECT_INVALID),
    "level too low": ({"acr": "eidas0"}, Code.ASSURANCE_TOO_LOW),
    "no level": ({"acr": None}, Code.ASSURANCE_TOO_LOW),
    "a list of levels": ({"acr": ["eidas3"]}, Code.ASSURANCE_TOO_LOW),
    "no scope": ({"scope": None}, Code.FRANCECONNECT_INVALID),
    "no id": ({"jti": None}, Code.FRANCECONNECT_INVALID),
    "an empty id": ({"jti": ""}, Code.FRANCECONNECT_INVALID),
    "no family name": ({"family_name": None}, Code.FRANCECONNECT_INVALID),
    "no given name": ({"given_name": None, "given_name_array": None}, Code.FRANCECONNECT_INVALID),
    "given names of numbers": ({"given_name_array": [1]}, Code.FRANCECONNECT_INVALID),
    "no birth date": ({"birthdate": None}, Code.FRANCECONNECT_INVALID),
    "a birth year": ({"birthdate": "1988"}, Code.FRANCECONNECT_INVALID),
    "another gender": ({"gender": "unknown"}, Code.FRANCECONNECT_INVALID),
    "a line break": ({"family_name": "A\nB"}, Code.FRANCECONNECT_INVALID),
    "a place of numbers": ({"birthplace": 35238}, Code.FRANCECONNECT_INVALID),
    "no country": ({"birthcountry": None}, Code.FRANCECONNECT_INVALID),
}
OUTER: dict[str, dict[str, Any]] = {
    "another provider": {"aud": "un-autre-fournisseur"}, "two audiences": {"aud": [CLIENT, "x"]}, "no audience": {"aud": None},
    "another issuer": {"iss": "https://franceconnect.faux"}, "no issuer": {"iss": None}, "no time": {"iat": None},
    "an old answer": {"iat": 1_000_000_000}, "an answer to come": {"iat": 1 << 40}, "no introspection": {"token_introspection": None},
    "a list": {"token_introspection": []},
}  # fmt: skip


class TestRefused:
    """Each lie, and each failure, has its code of the catalogue."""

    @pytest.mark.parametrize("name", CLAIMS)
    async def test_tokens(self, provider: Provider, name: str) -> None:
        """A token inactive, another's, without end, too weak, or without the pivot."""
        changes, code = CLAIMS[name]
        assert await introspected(provider, provider.login("t", **changes)) == code

    @pytest.mark.parametrize("name", OUTER)
    async def test_answers(self, provider: Provider, name: str) -> None:
        """An answer by another, to another, of another time, or of another shape."""
        provider.outer = OUTER[name]
        assert await introspected(provider, provider.login("t")) == Code.FRANCECONNECT_INVALID

    async def test_needs(self, provider: Provider) -> None:
        """A level below the one asked for; a scope the person was not shown."""
        assert await introspected(provider, provider.login("t"), assurance="eidas2") == Code.ASSURANCE_TOO_LOW
        assert await introspected(provider, provider.login("u"), frozenset(("cnaf_enfants",))) == Code.SCOPE_EXCEEDED

    async def test_a_token_ends(self, provider: Provider) -> None:
        """After its minute a token proves nothing, by FranceConnect's word, or by its own end where FranceConnect still says active."""
        assert isinstance(provider.clock, VirtualClock)
        token = provider.login("t")
        provider.clock.advance(61_000)
        assert await introspected(provider, token) == Code.FRANCECONNECT_EXPIRED
        claims = {
            "iss": ISSUER,
            "aud": CLIENT,
            "iat": 960,
            "token_introspection": provider.tokens[token] | {"iat": 900, "exp": 960},
        }
        assert vouched(claims, EXPECTED, 969).identity == MAELLE
        with pytest.raises(NotVouched, match=Code.FRANCECONNECT_EXPIRED):
            vouched(claims, EXPECTED, 970)

    async def test_a_token_serves_once(self, provider: Provider) -> None:
        """The same token, or another with the same id, is refused until it has ended; a refused one was not used."""
        async with FranceConnect(provider.settings, provider.clock) as france_connect:
            with pytest.raises(NotIdentified):
                await france_connect.introspect(provider.login("t"), frozenset(("cnaf_enfants",)))
            assert (await france_connect.introspect("t")).identity == MAELLE
            for token in ("t", provider.login("u", jti="id-t")):
                with pytest.raises(NotIdentified, match=Code.FRANCECONNECT_USED):
                    await france_connect.introspect(token)

    async def test_an_answer_is_not_another_tokens(self, provider: Provider) -> None:
        """Whoever gives again what FranceConnect said a moment ago gets nothing by it."""
        said: list[bytes] = []
        provider.seal = lambda claims: said[0] if said else (said.append(provider.sealed(claims)) or said[0])  # type: ignore[func-returns-value]  # append, then what it kept
        async with FranceConnect(provider.settings, provider.clock) as france_connect:
            await france_connect.introspect(provider.login("t"))
            with pytest.raises(NotIdentified, match=Code.FRANCECONNECT_USED):
                await france_connect.introspect(provider.login("u", family_name="AUTRE"))

    @pytest.mark.parametrize("token", ["", "a b\n", "é", "x" * 5000])
    async def test_what_is_no_token_is_not_sent(self, provider: Provider, token: str) -> None:
        """Refused here, before any call."""
        assert await introspected(provider, token) == Code.FRANCECONNECT_INVALID
        assert not provider.forms

    @pytest.mark.parametrize(
        ("status", "code"),
        [(400, Code.FRANCECONNECT_INVALID), (401, Code.FRANCECONNECT_EXPIRED), (429, Code.FRANCECONNECT_UNAVAILABLE), (500, Code.FRANCECONNECT_UNAVAILABLE), (302, Code.FRANCECONNECT_UNAVAILABLE)],
    )  # fmt: skip
    async def test_statuses(self, provider: Provider, status: int, code: Code) -> None:
        """A token it cannot read, does not know, or no answer."""
        provider.status = status
        assert await introspected(provider, provider.login("t")) == code

    async def test_nobody_there(self, provider: Provider) -> None:
        """FranceConnect absent, or its keys not to be had, is said as such."""
        assert await introspected(provider, "t", checktoken_url="http://127.0.0.1:1") == Code.FRANCECONNECT_UNAVAILABLE
        token = provider.login("t")
        assert await introspected(provider, token, jwks_url="http://127.0.0.1:1") == Code.FRANCECONNECT_UNAVAILABLE

    def test_no_clear_way_out(self, provider: Provider) -> None:
        """Neither address may be http beyond the loopback: the secret and the token go there."""
        for name in ("checktoken_url", "jwks_url"):
            with pytest.raises(ValueError, match="https"):
                FranceConnect(replace(provider.settings, **{name: "http://franceconnect.exemple"}), provider.clock)  # type: ignore[arg-type]  # both are texts

    async def test_nothing_of_it_is_said(self, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
        """Neither token, secret nor name is in the log at its most talkative, nor in an error or a setting printed."""
        token = provider.login("un-jeton-secret", aud="autre")
        with caplog.at_level(logging.DEBUG):
            async with FranceConnect(provider.settings, provider.clock) as france_connect:
                with pytest.raises(NotIdentified) as refused:
                    await france_connect.introspect(token)
        told = caplog.text + repr(provider.settings) + repr(refused.value) + str(refused.value)
        assert not any(text in told for text in (token, SECRET, "TREVARIN"))
        assert refused.value.__cause__ is None and refused.value.__suppress_context__


def unsigned(claims: object) -> str:
    """`alg: none`."""
    parts = (json.dumps({"alg": "none"}).encode(), json.dumps(claims).encode())
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def by_public_key(provider: Provider, claims: object) -> str:
    """HS256, the public key as secret."""
    from joserfc import jws
    from joserfc.jwk import OctKey

    secret = OctKey.import_key(json.dumps(provider.signing.as_dict(private=False)))
    return jws.serialize_compact(
        {"alg": "HS256", "kid": "fc-1"}, json.dumps(claims).encode(), secret, algorithms=["HS256"]
    )


def forged(provider: Provider, claims: object) -> str:
    """Another key under FranceConnect's kid."""
    return provider.signed(claims, ECKey.generate_key("P-256", {"kid": "fc-1", "use": "sig"}))


def altered(provider: Provider, claims: dict[str, Any]) -> str:
    """A good signature under other claims."""
    head, _, signature = provider.signed(claims).split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims | {"x": 1}).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def stranger(provider: Provider, claims: object) -> bytes:
    """Encrypted to somebody else."""
    other = Provider(provider.clock)
    return other.encrypted(provider.signed(claims))


SEALS: dict[str, Callable[[Provider, dict[str, Any]], bytes]] = {
    "no signature": lambda p, c: p.encrypted(json.dumps(c)),
    "alg none": lambda p, c: p.encrypted(unsigned(c)),
    "a shared secret": lambda p, c: p.encrypted(by_public_key(p, c)),
    "another key": lambda p, c: p.encrypted(forged(p, c)),
    "an unknown key": lambda p, c: p.encrypted(p.signed(c, ECKey.generate_key("P-256", {"kid": "fc-9"}))),
    "altered claims": lambda p, c: p.encrypted(altered(p, c)),
    "not encrypted": lambda p, c: p.signed(c).encode(),
    "encrypted to another": stranger,
    "an altered JWE": lambda p, c: p.sealed(c)[:-4] + b"AAAA",
    "a shortened JWE": lambda p, c: p.sealed(c)[:-30],
    "another encryption": lambda p, c: p.encrypted(p.signed(c), enc="A128CBC-HS256"),
    "compressed": lambda p, c: p.encrypted(p.signed(c), zip="DEF"),
    "clear JSON": lambda p, c: json.dumps(c).encode(),
    "nothing": lambda p, c: b"",
    "bytes": lambda p, c: bytes(range(256)),
    "a list signed": lambda p, c: p.encrypted(p.signed([c])),
    "no JSON signed": lambda p, c: p.encrypted(p.signed("x")),
    "depths": lambda p, c: p.encrypted(p.signed(json.loads("[" * 500 + "]" * 500))),
}


@pytest.mark.parametrize("name", SEALS)
async def test_bytes_that_prove_nothing(provider: Provider, name: str) -> None:
    """What is not a JWE to us of a JWS by FranceConnect, in its own algorithms, is refused; the next good token is read."""
    provider.seal = lambda claims: SEALS[name](provider, claims)
    async with FranceConnect(provider.settings, provider.clock) as france_connect:
        with pytest.raises(NotIdentified, match=Code.FRANCECONNECT_INVALID):
            await france_connect.introspect(provider.login("t"))
        provider.seal = provider.sealed
        assert (await france_connect.introspect("t")).identity == MAELLE


async def test_an_answer_without_end_is_left(provider: Provider) -> None:
    """No more is read than an answer may hold."""
    provider.seal = lambda claims: b"x" * (ANSWER_MAX_BYTES + 1)
    assert await introspected(provider, provider.login("t")) == Code.FRANCECONNECT_UNAVAILABLE
