"""`Master` on a PKCS#11 token: an HSM, a smart card, SoftHSM2. The extra `accord-bus[pkcs11]` brings the library.

The key is an AES-256 secret key that never leaves the token, made there once:
`pkcs11-tool --module M --login --token-label T --keygen --key-type AES:32 --label accord --sensitive`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consent.keys.files import BadKeyFile, read
from consent.keys.sources import KEK, Master
from exchange.ports import Unavailable

_NONCE_BYTES, _TAG_BITS = 12, 128


class Token:
    """CKM_AES_GCM under the key called `key` of the token called `token`; the PIN is in a file that is its owner's alone."""

    kind = "pkcs11"

    def __init__(self, module: Path, token: str, key: str, pin: Path) -> None:
        """`module` is the maker's shared library."""
        self._module, self._token, self._key, self._pin = module, token, key, pin

    def wrap(self, secret: bytes, bound: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        with self._opened() as (key, mechanism, parameters):
            sealed: bytes = key.encrypt(
                secret, mechanism=mechanism, mechanism_param=parameters(nonce, bound, _TAG_BITS)
            )
        return nonce + sealed

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        with self._opened() as (key, mechanism, parameters):
            secret: bytes = key.decrypt(
                sealed, mechanism=mechanism, mechanism_param=parameters(nonce, bound, _TAG_BITS)
            )
        return secret

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any, Any]]:
        """The token's key, for one call."""
        try:
            import pkcs11
        except ImportError:
            raise BadKeyFile("pkcs11: pip install 'accord-bus[pkcs11]'") from None
        try:
            token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
            with token.open(user_pin=read(self._pin).decode().strip()) as session:
                key = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, label=self._key)
                yield key, pkcs11.Mechanism.AES_GCM, pkcs11.GCMParams
        except (pkcs11.DeviceError, pkcs11.DeviceRemoved) as error:
            raise Unavailable(f"pkcs11: {type(error).__name__}") from None
        except (pkcs11.PKCS11Error, RuntimeError, ValueError) as error:
            raise BadKeyFile(f"pkcs11: {type(error).__name__}") from None


def choose(
    kek: str, kek_file: Path | None, module: Path | None, token: str, key: str, pin_file: Path | None
) -> Master | None:
    """The one master these settings make; None where none is set, BadKeyFile where two are, or where one lacks its PIN."""
    if sum((bool(kek), kek_file is not None, module is not None)) > 1:
        raise BadKeyFile("master: more than one was given")
    if module is not None:
        if pin_file is None:
            raise BadKeyFile("pkcs11: no PIN file")
        return Token(module, token, key, pin_file)
    if kek_file is not None:
        return KEK.of_file(kek_file)
    return KEK.of_text(kek) if kek else None
