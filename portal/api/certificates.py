"""Which certificate a call was made with: the connection's own, or the one a proxy that we know tells (RFC 9440). A header from anybody else
says nothing."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Sequence
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request

HEADER = "client-cert"


def thumbprint(request: Request, proxies: Sequence[str]) -> str:
    """SHA-256 (hexadecimal) of the caller's certificate in DER, RFC 8705 §3.1; empty where there is none. A proxy's own certificate is
    nobody's who calls through it."""
    if request.client is not None and request.client.host in proxies:
        told = request.headers.getlist(HEADER)
        return _told(told[0]) if len(told) == 1 else ""
    chain = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    return sha256(ssl.PEM_cert_to_DER_cert(chain[0])).hexdigest() if chain else ""


def _told(value: str) -> str:
    """From RFC 9440's form, `:base64 of DER:`; empty for any other."""
    try:
        der = base64.b64decode(value.strip().removeprefix(":").removesuffix(":"), validate=True)
        return sha256(x509.load_der_x509_certificate(der).public_bytes(Encoding.DER)).hexdigest()
    except (binascii.Error, ValueError):
        return ""
