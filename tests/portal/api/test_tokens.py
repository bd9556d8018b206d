"""Who may call: a client proven by its signed assertion, once; a token bound to it, to its certificate, and to ten minutes."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from portal.api import clients
from portal.api.clients import BadKey
from portal.api.context import WRONG
from portal.api.tokens import LIFE_S
from tests.portal.api.stand import URL, Stand, open_stand


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def by_secret(claims: dict[str, Any], secret: bytes) -> str:
    """HS256 with somebody's public key as the secret."""
    signed = f"{encoded({'alg': 'HS256'})}.{encoded(claims)}"
    mac = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).decode().rstrip("=")
    return f"{signed}.{mac}"


async def refused(stand: Stand, assertion: str) -> None:
    """The same answer for every reason."""
    stand.calm()
    told = await stand.ask_token(assertion)
    assert (told.status_code, told.headers["content-type"]) == (401, "application/problem+json")
    assert (told.json()["code"], told.json()["error"]) == ("client_invalid", "invalid_client")


async def test_a_token_is_given_for_an_assertion(stand: Stand) -> None:
    """It opens `/me`, which says what it may do, until when (ask 1)."""
    me = (await stand.call("GET", "/me")).json()
    assert (me["client"], me["operator"], me["recipients"]) == ("mairie", stand.bus.operator, [stand.bus.recipient])
    assert {"cnaf.quotient-familial.v1"} <= {right["data_set"] for right in me["rights"]}
    assert all(right["purpose"] and right["scopes"] and right["not_after"] for right in me["rights"])
    assert me["limits"]["calls_burst"] > 0 and me["expires_at"].endswith("Z")


@pytest.mark.parametrize(("kind", "alg"), [("EC", "ES256"), ("OKP", "EdDSA"), ("OKP", "Ed25519"), ("RSA", "PS256")])
async def test_each_kind_of_key(stand: Stand, kind: str, alg: str) -> None:
    """ES256, EdDSA under both its names, PS256."""
    key = {"EC": lambda: ECKey.generate_key("P-256"), "OKP": lambda: OKPKey.generate_key("Ed25519"), "RSA": lambda: RSAKey.generate_key(2048)}[kind]()  # fmt: skip
    stand.register("autre", stand.bus.operator, key)
    assert (await stand.ask_token(stand.assertion("autre", key, alg))).status_code == 200


async def test_what_proves_nothing_is_refused_alike(stand: Stand) -> None:
    """Case 20: `alg: none`, a shared secret made of the public key, another audience, issuer, key; too long a life, the future, the past, an
    unknown `crit`, a JWE, no `jti`, what is no JWT at all."""
    now_s, other = stand.now_s(), ECKey.generate_key("P-256")
    rsa = RSAKey.generate_key(2048)
    stand.register("rsa", stand.bus.operator, rsa)
    claims = {"iss": "mairie", "sub": "mairie", "aud": f"{URL}/v1/token", "exp": now_s + 60, "jti": "1"}
    header = {"alg": "ES256", "crit": ["b64", "x"], "x": 1}
    signed = stand.assertion().split(".")
    sealed = jwe.encrypt_compact(
        {"alg": "dir", "enc": "A256GCM"}, b"x" * 64, OctKey.generate_key(256), algorithms=["dir", "A256GCM"]
    )
    for bad in (
        f"{encoded({'alg': 'none'})}.{encoded(claims)}.",
        by_secret({**claims, "iss": "rsa", "sub": "rsa"}, rsa.as_pem(private=False)),
        jwt.encode({"alg": "RS256"}, {**claims, "iss": "rsa", "sub": "rsa"}, rsa, algorithms=["RS256"]),
        stand.assertion(aud="https://elsewhere.test/v1/token"),
        stand.assertion(aud=None),
        stand.assertion(iss="rsa"),
        stand.assertion(sub="somebody"),
        stand.assertion(key=other),
        stand.assertion("nobody", other),
        stand.assertion("../../etc/passwd", other),
        stand.assertion("' OR 1=1 --", other),
        stand.assertion(exp=now_s + 3600),
        stand.assertion(exp=now_s - 60),
        stand.assertion(exp=None),
        stand.assertion(exp="soon"),
        stand.assertion(exp=1e300),
        stand.assertion(iat=now_s + 600),
        stand.assertion(nbf=now_s + 600),
        stand.assertion(jti=None),
        stand.assertion(jti="x" * 1000),
        ".".join([encoded(header), signed[1], signed[2]]),
        ".".join([signed[0], encoded({**claims, "sub": "mairie "}), signed[2]]),
        ".".join([signed[0], signed[1], ""]),
        sealed,
        "eyJ",
        "a.b.c",
        "",
        "x" * 8000,
    ):
        if bad:
            await refused(stand, bad)


async def test_an_assertion_serves_once(stand: Stand) -> None:
    """A replay is refused, also one of another assertion with the same `jti`."""
    assertion = stand.assertion(jti="once")
    assert (await stand.ask_token(assertion)).status_code == 200
    await refused(stand, assertion)
    await refused(stand, stand.assertion(jti="once", exp=stand.now_s() + 30))


async def test_a_token_ends(stand: Stand) -> None:
    """After ten minutes, and at once where its client is no more."""
    assert (await stand.call("GET", "/me")).status_code == 200
    stand.bus.clock.advance(LIFE_S * 1000)
    assert (await stand.call("GET", "/me")).json()["code"] == "token_invalid"
    token = await stand.login()
    clients.remove(stand.parts.store, "mairie")
    assert (await stand.call("GET", "/me", token=token)).status_code == 401


async def test_the_store_holds_no_token(stand: Stand) -> None:
    """Only its hash: who steals the store calls nobody."""
    dump = "".join(stand.parts.store.raw_connection().driver_connection.iterdump())  # type: ignore[union-attr]  # sqlite3's
    assert stand.token not in dump


async def test_a_refused_assertion_counts_too(stand: Stand) -> None:
    """Whoever guesses at the token's address is slowed down as well."""
    told = [(await stand.ask_token("a.b.c")).status_code for _ in range(WRONG.burst + 60)]
    assert set(told) == {401, 429}


def certificate(name: str = "mairie") -> x509.Certificate:
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(since).not_valid_after(since + dt.timedelta(days=365))
    return made.sign(key, SHA256())


def header(of: x509.Certificate) -> dict[str, str]:
    """RFC 9440."""
    return {"client-cert": f":{base64.b64encode(of.public_bytes(Encoding.DER)).decode()}:"}


async def test_a_token_is_bound_to_the_certificate_it_was_asked_with(tmp_path: Path) -> None:
    """RFC 8705 §3: with another certificate, or none, it is good for nothing."""
    ours, other = certificate(), certificate("other")
    async with open_stand(tmp_path, portal_proxies="127.0.0.1") as stand:
        token = (await stand.ask_token(stand.assertion(), header(ours))).json()["access_token"]
        assert (await stand.call("GET", "/me", token=token, headers=header(ours))).status_code == 200
        for more in (header(other), {}, {"client-cert": "::"}, {"client-cert": ":AAAA:"}):
            assert (await stand.call("GET", "/me", token=token, headers=more)).status_code == 401


async def test_a_client_with_a_certificate_comes_with_it(tmp_path: Path) -> None:
    """Registered with a certificate, it gets no token without."""
    ours = certificate()
    async with open_stand(tmp_path, portal_proxies="127.0.0.1") as stand:
        key = ECKey.generate_key("P-256")
        stand.register("tls", stand.bus.operator, key, ours.fingerprint(SHA256()).hex())
        await refused(stand, stand.assertion("tls", key))
        assert (await stand.ask_token(stand.assertion("tls", key), header(ours))).status_code == 200


async def test_a_header_of_anybody_else_says_nothing(stand: Stand) -> None:
    """Case 55: whoever is no proxy of ours may write what they like: no certificate is read from it."""
    ours, key = certificate(), ECKey.generate_key("P-256")
    stand.register("tls", stand.bus.operator, key, ours.fingerprint(SHA256()).hex())
    for name in ("client-cert", "x-forwarded-client-cert", "x-ssl-client-cert"):
        stand.calm()
        told = await stand.ask_token(stand.assertion("tls", key), {name: header(ours)["client-cert"]})
        assert told.status_code == 401


def test_keys_that_may_prove_a_client() -> None:
    """Public, of a kind and size that hold: nothing else is registered."""
    for good in (ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)):
        assert clients.public_key(json.dumps(good.as_dict(private=False)))["kty"] == good.key_type
    private = ECKey.generate_key("P-256").as_dict(private=True)
    for bad in (
        json.dumps(private), "{}", "[]", "x", json.dumps(OctKey.generate_key(256).as_dict()), json.dumps(RSAKey.generate_key(1024).as_dict(private=False)),
        json.dumps(ECKey.generate_key("P-384").as_dict(private=False)), json.dumps(OKPKey.generate_key("X25519").as_dict(private=False)),
    ):  # fmt: skip
        with pytest.raises(BadKey):
            clients.public_key(bad)
