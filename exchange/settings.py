"""Settings, from the environment (`ACCORD_…`): every command's options default to these."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from consent.keys import Master, choose
from exchange.places import Places

RECIPIENT = "21130055300016"
"""The demonstration's collectivity (SIRET); its operator is itself (SIREN)."""


def _home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "accord"


class Settings(BaseSettings):
    """One value each, typed; an unknown `ACCORD_` variable is left alone, other tools may have theirs."""

    model_config = SettingsConfigDict(env_prefix="ACCORD_", extra="ignore")

    data: Path = _home()
    """Data directory of the bus."""
    store: str = ""
    """`postgresql://` URL of the ledger's store (no password in it: PGPASSFILE); empty: SQLite in the data directory."""
    kafka: str = "embedded"
    """`embedded`, `testcontainers`, or host:port of a broker."""
    origin: str = "accord.local/dev"
    """Origin of the ledger's log."""
    recipient: str = RECIPIENT
    """SIRET of the collectivity a command acts for."""
    operator: str = ""
    """SIREN of its operator; empty: the collectivity itself."""
    state_api_url: str = ""
    """Base URL of the State API; empty: the sandbox of a running bus."""
    state_api_token_file: Path | None = None
    """File holding its bearer token."""
    dgfip_url: str = ""
    """Base URL of the DGFiP's gateway (API Impôt particulier, SFiP); used with its account."""
    dgfip_account_file: Path | None = None
    """File of its OAuth2 account: client id, secret, `ID_Teleservice` of Impôt particulier and of SFiP, one a line; None: the sandbox's."""
    portal_port: int = 8600
    """Port of the portal, on the loopback; 0, or one that is taken: a free one."""
    portal_host: str = "127.0.0.1"
    """Address it listens on; beyond this machine only by TLS."""
    portal_url: str = ""
    """Its public address (`https://…`), where that is not the one it listens on: behind a proxy, or under a name."""
    portal_tls_cert_file: Path | None = None
    """File of its certificate and chain (PEM): it then speaks TLS 1.3 itself."""
    portal_tls_key_file: Path | None = None
    """File of that certificate's private key (PEM), mode 0600."""
    portal_client_ca_file: Path | None = None
    """File of the authorities (PEM) whose certificates programs may show it (mutual TLS)."""
    identity_port: int = 8601
    """Port of the identity sandbox, likewise."""
    portal_proxies: str = ""
    """Addresses of the proxies in front of the portal, comma-separated: who alone may say a caller's certificate (`Client-Cert`, RFC 9440)."""
    webhook_networks: str = ""
    """Networks webhooks may go to though they are not public, comma-separated: `10.1.0.0/16`."""
    url: str = ""
    """Base URL of a bus's HTTP API (`https://…`): the SDK goes by it instead of Kafka."""
    client: str = ""
    """Name under which that bus knows the SDK."""
    client_key_file: Path | None = None
    """File of the SDK's private key (JWK), mode 0600."""
    client_tls_cert_file: Path | None = None
    """File of the certificate (PEM) the SDK shows to that API, and below its private key, mode 0600."""
    client_tls_key_file: Path | None = None
    url_ca_file: Path | None = None
    """File of the authorities (PEM) that certify that API; None: those the public web has."""
    demarche_port: int = 8610
    """Port of the collectivity's démarches, likewise."""
    traces: bool = True
    """Whether spans are written to `traces/` in the data directory."""
    suite: Literal["x25519", "mlkem768-x25519"] = "x25519"
    """Of new authorisations' keys: X25519, or ML-KEM-768 with X25519."""
    kek: SecretStr = SecretStr("")
    """What wraps the ledger's keys at rest, 32 bytes in base64; empty: they lie in files that are their owner's alone."""
    kek_file: Path | None = None
    """File holding it instead: a credential of the service manager, a mounted secret, `/dev/fd/N`."""
    hsm_module: Path | None = None
    """PKCS#11 library of a token that wraps them instead; needs `accord-bus[pkcs11]`."""
    hsm_token: str = "accord"  # noqa: S105  # a label
    """Label of the token."""
    hsm_key: str = "accord"
    """Label of its AES key."""
    hsm_pin_file: Path | None = None
    """File holding its PIN."""

    def places(self, data: Path | None = None) -> Places:
        return Places((data or self.data).absolute(), self.store)

    def master(self) -> Master | None:
        """What wraps the ledger's keys at rest, None for nothing; BadKeyFile where these settings do not make one."""
        kek = self.kek.get_secret_value()
        return choose(kek, self.kek_file, self.hsm_module, self.hsm_token, self.hsm_key, self.hsm_pin_file)

    @property
    def broker(self) -> str:
        """host:port of the broker the settings name; empty where the bus brings its own."""
        return self.kafka if ":" in self.kafka else ""

    def operator_of(self, recipient: str) -> str:
        return self.operator or recipient[:9]
