"""What everybody pins: the ledger's verifier key, its certificate key and the registrar's key, from one small file."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from consent.core.note import Verifier, parse_verifier
from exchange import rules


@dataclass(frozen=True, slots=True)
class Trust:
    """Raw Ed25519 public keys; `log` names the log's origin."""

    log: Verifier
    certificate: bytes
    registrar: bytes

    @property
    def rules(self) -> Verifier:
        """Who signs this bus's rules."""
        return rules.verifier(self.log.name, self.registrar)

    def save(self, path: Path) -> None:
        text = json.dumps(
            {"log": str(self.log), "certificate": _text(self.certificate), "registrar": _text(self.registrar)}, indent=2
        )
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Trust:
        body = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            parse_verifier(body["log"]), base64.b64decode(body["certificate"]), base64.b64decode(body["registrar"])
        )


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()
