"""A certificate authority, and certificates of it: good ones, and what is wrong in each of the ways that count."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class Held(NamedTuple):
    """A certificate and its key, in files."""

    certificate: Path
    key: Path
    thumbprint: str
    der: bytes


class Authority:
    """One of a name, in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name, self._key = folder, _named(name), ec.generate_private_key(ec.SECP256R1())
        basic, usage = x509.BasicConstraints(ca=True, path_length=0), _usage(signs=True)
        made = _builder(self._name, self._name, self._key, 365).add_extension(basic, critical=True)
        self.certificate = folder / f"{name}.pem"
        signed = made.add_extension(usage, critical=True).sign(self._key, SHA256())
        self.certificate.write_bytes(signed.public_bytes(Encoding.PEM))

    def issue(self, name: str, days: int = 30, use: x509.ObjectIdentifier = CLIENT) -> Held:
        """For a client, or a server at 127.0.0.1; of yesterday where `days` is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _builder(_named(name), self._name, key, days)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = made.add_extension(alternative, critical=False).sign(self._key, SHA256())
        place, secret = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        place.write_bytes(signed.public_bytes(Encoding.PEM))
        secret.touch(mode=0o600)
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        der = signed.public_bytes(Encoding.DER)
        return Held(place, secret, sha256(der).hexdigest(), der)

    def client(self, shown: Held | None = None) -> ssl.SSLContext:
        """Of a client that believes this authority, and shows a certificate if it has one."""
        context = ssl.create_default_context(cafile=self.certificate)
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(until - dt.timedelta(days=400))
    return made.not_valid_after(until)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip
