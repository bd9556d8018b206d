"""What a counter agent asks of the ledger beside recording: to look at an agreement, which leaves a trace."""

from __future__ import annotations

from consent.officers import note
from consent.transaction import Transaction, row_of
from exchange.core.errors import Code
from exchange.ports import Refused

WHY = "guichet"


def consult(tx: Transaction, authorisation: bytes, agent: str, recipient: str) -> None:
    """An agent of that recipient looks at an agreement: a leaf in the person's file, which their dossier tells. `Refused` where the
    recipient has no such agreement."""
    row = row_of(tx.connection, authorisation)
    if row is None or row.recipient != recipient:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    note(tx, agent, WHY, {"act": "consult", "authorisation": authorisation.hex()}, bytes(row.subject_ref))
