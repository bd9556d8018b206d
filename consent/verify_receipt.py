"""Verifying a receipt offline in any of its three forms, recognised by its bytes: tlog-proof, JSON-LD, PDF.

What must hold, in order: (1) the statement is the log's, over the digest of everything else; (2) each fact's leaf is in the log, by
its tlog-proof; (3) each content opens its leaf's commitment; (4) the facts are one authorisation's, and what the document says of
terms, times, state and collection is what they say; (5) for a PDF, the page is drawn again from the verified document and must be
the same bytes. Nothing is trusted but verifier keys; neither store nor network.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal, NamedTuple

from consent import verify as log
from consent.core import life, note, record
from consent.core.leaves import commit
from consent.core.life import Fact, Life
from consent.core.record import Document
from consent.verify import BadReceipt, Pending, Policy, Verified
from exchange.schemas import catalogue

__all__ = ["BadReceipt", "OtherEdition", "Pending", "Proven", "form", "opened", "verify"]

Form = Literal["tlog-proof", "json-ld", "pdf"]
Status = Literal["final", "pending", "unwitnessed"]
MAX_BYTES = 4 << 20
JSON_LD, TLOG_PROOF = "receipt.jsonld", "receipt.tlog-proof"
"""Names of the machine forms in a PDF."""


class OtherEdition(BadReceipt):
    """A page drawn by another edition of the template: what it carries holds, what is printed on it cannot be compared here."""


class Proven(NamedTuple):
    """What a receipt proves. `kind` and `at_ms` are of the leaf itself; `life` and `document` are None for a bare tlog-proof, which
    says where a fact stands and not what it holds. `status`: `final` once a witness trusted here has cosigned every checkpoint."""

    form: Form
    status: Status
    origin: str
    leaf_index: int
    kind: str
    at_ms: int
    witnesses: tuple[str, ...]
    life: Life | None = None
    document: Document | None = None


def form(data: bytes) -> Form:
    """Which of the three these bytes are; BadReceipt if none."""
    for start, name in ((b"%PDF-", "pdf"), (b"c2sp.org/tlog-proof@", "tlog-proof"), (b"{", "json-ld")):
        if data.startswith(start) and len(data) <= MAX_BYTES:
            return name  # type: ignore[return-value]  # one of the three
    raise BadReceipt("not a receipt")


def verify(data: bytes, policy: Policy, now_s: int) -> Proven:
    """What these bytes prove. BadReceipt if nothing, Pending if only witnesses are missing (fewer than the policy's quorum),
    OtherEdition if only the printed page could not be compared."""
    found = form(data)
    try:
        if found == "tlog-proof":
            return _tlog_proof(log.verify(data, policy, now_s), policy)
        return _json_ld(data, policy, now_s) if found == "json-ld" else _pdf(data, policy, now_s)
    except BadReceipt:
        raise
    except (ValueError, RecursionError) as error:
        raise BadReceipt(type(error).__name__) from error


def opened(leaf_index: int, leaf: bytes, salt: bytes, content: bytes) -> Fact:
    """A leaf with what it commits to; ValueError unless salt and content open its commitment."""
    found = catalogue().codec("ledger-fact").decode(leaf)
    if commit(salt, content) != found["commitment"]:
        raise ValueError("the leaf commits to something else")
    return Fact(leaf_index, found["kind"], found["at_ms"], found["locator"], life.content(content))


def _tlog_proof(found: Verified, policy: Policy) -> Proven:
    leaf = catalogue().codec("ledger-fact").decode(found.leaf)
    return Proven(
        "tlog-proof",
        _status([found], policy),
        found.origin,
        found.leaf_index,
        leaf["kind"],
        leaf["at_ms"],
        tuple(found.witnesses),
    )


def _json_ld(data: bytes, policy: Policy, now_s: int) -> Proven:
    document = record.parse(data.decode())
    proof = _signed(document, policy)
    verified: list[Verified] = []
    facts: list[Fact] = []
    try:
        for entry in proof["facts"]:
            where = log.verify(entry["tlogProof"].encode(), policy, now_s)
            facts.append(opened(where.leaf_index, where.leaf, note.decode(entry["salt"]), entry["content"].encode()))
            verified.append(where)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("not a proof") from error
    lived = life.live(facts)
    if record.read(document) != record.told(lived):
        raise BadReceipt("the document says what its proof does not")
    act = lived.act
    if (document["accord:origin"], document["accord:entry"]) != (policy.log.name, act.leaf_index):
        raise BadReceipt("another entry")
    seen = set.intersection(*(set(v.witnesses) for v in verified))
    return Proven("json-ld", _status(verified, policy), policy.log.name, act.leaf_index, act.kind, act.at_ms, tuple(sorted(seen)), lived, document)  # fmt: skip


def _signed(document: Document, policy: Policy) -> Document:
    """The proof of a document whose statement is the log's over all the rest, with that signature and no other; ValueError if not."""
    proof = document.get("accord:proof")
    if not isinstance(proof, dict) or not isinstance(statement := proof.get("statement"), str):
        raise BadReceipt("no proof")
    bare = {name: value for name, value in proof.items() if name != "statement"}
    text = record.statement(policy.log.name, document | {"accord:proof": bare})
    if note.verify(statement, policy.log) != text or len(note.split(statement)[1]) != 1:
        raise BadReceipt("not what the log signed")
    return bare


def _pdf(data: bytes, policy: Policy, now_s: int) -> Proven:
    from consent import paper  # typst and segno, needed for a page only

    found, language = _attached(data)
    proven = _json_ld(found, policy, now_s)
    assert proven.document is not None  # a JSON-LD has one
    if proven.document["accord:edition"] != paper.edition():
        raise OtherEdition("another edition of the page")
    if paper.draw(proven.document, language) != data:
        raise BadReceipt("the page is not the one drawn from what it carries")
    return proven._replace(form="pdf")


def _attached(data: bytes) -> tuple[bytes, str]:
    """The JSON-LD a PDF carries, and the page's language. Whatever a hostile PDF raises is BadReceipt."""
    import pikepdf  # needed for a page only

    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            language = str(pdf.Root.get("/Lang", "fr"))[:2]
            return pdf.attachments[JSON_LD].get_file().read_bytes(), "en" if language == "en" else "fr"
    except Exception as error:  # qpdf's errors are of many classes, and its bytes are anybody's
        raise BadReceipt("not a receipt") from error


def _status(verified: Sequence[Verified], policy: Policy) -> Status:
    if not policy.witnesses:
        return "unwitnessed"
    return "final" if all(found.witnesses for found in verified) else "pending"
