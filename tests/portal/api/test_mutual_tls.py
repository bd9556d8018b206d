"""Mutual TLS at the portal itself, with real clients over the loopback: whose certificate it is decides, and nobody tells it but the connection."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey, Key

from consent.keys import BadKeyFile
from exchange.settings import Settings
from portal import serving
from portal.serving import tls, tls_of
from tests.portal.api.authority import SERVER, Authority, Held
from tests.portal.api.raw import Raw
from tests.portal.api.serving import Served
from tests.portal.api.stand import ASSERTION


class Door:
    """A portal with an authority for its clients: a client registered with its certificate (`tls`), and one without (`mairie`)."""

    def __init__(self, served: Served, folder: Path, authority: Authority) -> None:
        self.served, self.authority = served, authority
        self.key: Key = ECKey.generate_key("P-256")
        self.ours, self.other = authority.issue("ours"), authority.issue("other")
        self.expired, self.of_a_server = authority.issue("expired", days=-1), authority.issue("server-2", use=SERVER)
        self.foreign = Authority(folder, "foreign").issue("ours-too")
        served.stand.register("tls", served.stand.bus.operator, self.key, self.ours.thumbprint)

    def client(self, shown: Held | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.served.url, verify=self.authority.client(shown), trust_env=False)

    def ask_token(
        self, client: httpx.Client, name: str = "tls", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        stand = self.served.stand
        assertion = stand.assertion(name, self.key if name == "tls" else None)
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": assertion}
        return client.post("/v1/token", data=form, headers=headers)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("mtls")
    authority = Authority(folder)
    own = authority.issue("portal", use=SERVER)
    with Served(folder / "data", tls(own.certificate, own.key, authority.certificate)).up() as served:
        yield Door(served, folder, authority)


def me(client: httpx.Client, token: str, **headers: str) -> int:
    return client.get("/v1/me", headers={"authorization": f"Bearer {token}"} | headers).status_code


def test_with_its_certificate(door: Door) -> None:
    """Case 55: a client that shows the certificate it is registered with gets a token, which opens the API over that connection."""
    with door.client(door.ours) as client:
        token = door.ask_token(client).json()["access_token"]
        assert me(client, token) == 200


@pytest.mark.parametrize("shown", ["none", "other"])
def test_without_its_certificate(door: Door, shown: str) -> None:
    """Case 55: with none, or another's, it gets no token, though its assertion is good."""
    with door.client(None if shown == "none" else door.other) as client:
        answer = door.ask_token(client)
        assert (answer.status_code, answer.json()["code"]) == (401, "client_invalid")


@pytest.mark.parametrize("shown", ["expired", "foreign", "of_a_server"])
def test_a_certificate_that_proves_nothing(door: Door, shown: str) -> None:
    """Case 55: one that has expired, of another authority, or for another use ends the handshake; the portal goes on."""
    with door.client(getattr(door, shown)) as client, pytest.raises(httpx.TransportError):
        door.ask_token(client)
    with door.client() as client:
        assert client.get("/healthz", headers={"host": "127.0.0.1:8600"}).text == "ok\n"


def test_a_stolen_token(door: Door) -> None:
    """Case 55 (RFC 8705 §3): a token asked for with a certificate is good for nothing without it, also for who holds another that is good;
    one asked for without is bound to none."""
    with door.client(door.ours) as client:
        bound = door.ask_token(client, "mairie").json()["access_token"]
        assert me(client, bound) == 200
    with door.client(door.other) as client:
        assert me(client, bound) == 401
    with door.client() as client:
        assert me(client, bound) == 401
        free = door.ask_token(client, "mairie").json()["access_token"]
        assert me(client, free) == 200
    with door.client(door.other) as client:
        assert me(client, free) == 200


@pytest.mark.parametrize("header", ["client-cert", "x-forwarded-client-cert", "x-ssl-client-cert", "x-client-cert"])
def test_a_certificate_that_a_header_tells(door: Door, header: str) -> None:
    """Case 55: whoever writes another's certificate in a header is still nobody, or themself."""
    told = {header: f":{base64.b64encode(door.ours.der).decode()}:"}
    with door.client(door.ours) as client:
        bound = door.ask_token(client).json()["access_token"]
    for shown in (None, door.other):
        with door.client(shown) as client:
            assert door.ask_token(client, headers=told).status_code == 401
            assert me(client, bound, **told) == 401
    with door.client(door.ours) as client:
        assert me(client, bound, **{header: f":{base64.b64encode(door.other.der).decode()}:"}) == 200


def test_behind_a_proxy_its_own_certificate_is_nobodys(tmp_path: Path) -> None:
    """Case 55: through a proxy that itself shows a certificate, what counts is the one it tells, and none where it tells none."""
    authority = Authority(tmp_path)
    own, proxy = authority.issue("portal", use=SERVER), authority.issue("proxy")
    context = tls(own.certificate, own.key, authority.certificate)
    with Served(tmp_path / "data", context, portal_proxies="127.0.0.1").up() as served:
        door = Door(served, tmp_path, authority)
        told = {"client-cert": f":{base64.b64encode(door.ours.der).decode()}:"}
        with door.client(proxy) as client:
            assert door.ask_token(client).status_code == 401
            token = door.ask_token(client, headers=told).json()["access_token"]
            assert (me(client, token, **told), me(client, token)) == (200, 401)
        with door.client(door.ours) as client:
            assert door.ask_token(client).status_code == 401


def test_only_tls_1_3(door: Door) -> None:
    """An older version is not spoken, nor HTTP in clear; no session is taken up again without proving the certificate anew."""
    old = door.authority.client(door.ours)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", door.served.port)) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="127.0.0.1")
    with pytest.raises(httpx.TransportError):
        httpx.get(door.served.url.replace("https", "http"), trust_env=False)
    context = door.authority.client(door.ours)
    with (
        socket.create_connection(("127.0.0.1", door.served.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8600\r\n\r\n")
        assert secure.recv(1000).startswith(b"HTTP/1.1 200")
        assert (secure.version(), secure.session.has_ticket) == ("TLSv1.3", False)


def test_a_handshake_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 56, before any HTTP: whoever never begins the handshake, or sends a byte of it now and then, is ended in time; others are answered."""
    monkeypatch.setattr(serving, "HANDSHAKE_S", 0.8)
    authority = Authority(tmp_path)
    own = authority.issue("portal", use=SERVER)
    with (
        Served(tmp_path / "data", tls(own.certificate, own.key)).up() as served,
        Raw(served.port) as silent,
        Raw(served.port) as slow,
        httpx.Client(verify=authority.client()) as client,
    ):
        assert client.get(f"{served.url}/v1/directory").status_code == 200
        assert slow.ended_in_s(0.1, b"\x16\x03\x01\x02\x00" + bytes(500)) < 2.5
        assert silent.ended_in_s() < 2.5


def test_many_at_once(door: Door) -> None:
    """Each connection is its own: certificates of calls side by side are never taken for one another."""
    wrong = list[int]()

    def call(shown: Held, expected: int) -> None:
        for _ in range(10):
            with door.client(shown) as client:
                if (found := door.ask_token(client).status_code) != expected:
                    wrong.append(found)

    threads = [
        threading.Thread(target=call, args=one) for one in ((door.ours, 200), (door.other, 401)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def settings(**chosen: Any) -> Settings:
    return Settings(**{f"portal_{name}": value for name, value in chosen.items()})


def test_settings_that_do_not_go_together(tmp_path: Path) -> None:
    """A key that others read, one without a certificate, of another, locked by a word, an authority alone, HTTP in clear beyond this
    machine: the portal does not start, rather than serve less than was meant."""
    authority = Authority(tmp_path)
    own, other = authority.issue("portal", use=SERVER), authority.issue("other")
    assert tls_of(settings()) is None
    good = {"tls_cert_file": own.certificate, "tls_key_file": own.key, "client_ca_file": authority.certificate}
    held = tls_of(settings(**good, host="0.0.0.0"))
    assert held is not None and held.verify_mode == ssl.CERT_OPTIONAL and held.minimum_version == ssl.TLSVersion.TLSv1_3
    locked, loose = tmp_path / "locked.key", tmp_path / "loose.key"
    key = load_pem_private_key(own.key.read_bytes(), None)
    locked.touch(mode=0o600)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))
    loose.write_bytes(own.key.read_bytes())
    loose.chmod(0o644)
    for bad in (
        {"host": "0.0.0.0"}, {"tls_cert_file": own.certificate}, {"tls_key_file": own.key}, {"client_ca_file": authority.certificate},
        good | {"tls_key_file": other.key}, good | {"tls_key_file": locked}, good | {"tls_key_file": loose},
        good | {"tls_key_file": tmp_path / "absent"}, good | {"tls_cert_file": tmp_path / "absent"}, good | {"client_ca_file": own.key},
    ):  # fmt: skip
        with pytest.raises(BadKeyFile):
            tls_of(settings(**bad))
