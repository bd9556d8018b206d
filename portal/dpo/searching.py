"""Finding authorisations, looking at one with its whole life, and at what a release rested on; each proof checked in the page."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent import paper
from consent.core import record, told
from consent.core.dossier import plain
from consent.core.query import Fact, Found, Ground, Grounds, Head
from exchange.core.errors import CATALOGUE, Code
from exchange.data_sets import DATA_SETS
from exchange.ports import Refused
from portal.core import oversight
from portal.core.assisted import number
from portal.core.language import Tr
from portal.dpo.office import ROLE, Office, asker, attached, keep, kept, with_reason
from portal.web.pages import Asked, Missing, Page, Pages

EXPORT_MAX = 10_000
RECORDS_MAX = 500
"""Records of an export in JSON-LD: each is written from its leaves."""
_PAGE_MAX = 1_000


def routes(office: Office, pages: Pages) -> list[BaseRoute]:
    """Filters are kept in the session: no address names a person, not even by reference."""
    return [
        *pages.page("/dpo/recherche", with_reason(_form), ROLE),
        *pages.action("/dpo/recherche", with_reason(_sought), ROLE),
        *pages.page("/dpo/accords", with_reason(partial(_results, office)), ROLE),
        *pages.action("/dpo/accords/export", with_reason(partial(_export, office)), ROLE),
        *pages.download("/dpo/accords/{id}/preuves.zip", with_reason(partial(_bundle, office)), ROLE),
        *pages.download("/dpo/accords/{id}/recu.pdf", with_reason(partial(_receipt, office)), ROLE),
        *pages.page("/dpo/accords/{id}", with_reason(partial(_one, office)), ROLE),
        *pages.page("/dpo/demandes", with_reason(_which), ROLE),
        *pages.action("/dpo/demandes", with_reason(_which), ROLE),
        *pages.page("/dpo/demandes/{id}", with_reason(partial(_basis, office)), ROLE),
    ]


async def _form(asked: Asked, problem: str = "", fields: dict[str, str] | None = None) -> Page:
    data = {
        "typed": fields if fields is not None else dict.fromkeys(oversight.FIELDS, "") | (kept(asked, "query") or {}),
        "problem": problem,
        "data_sets": sorted(DATA_SETS),
        "states": [[state.value, told.word(state.value, asked.tr)] for state in oversight.STATES],
        "channels": [[channel, told.word(channel, asked.tr)] for channel in oversight.CHANNELS],
        "bases": [[basis, told.word(basis, asked.tr)] for basis in oversight.BASES],
    }
    return Page("dpo/search.html", data, 422 if problem else 200)


async def _sought(asked: Asked) -> Page | Response:
    fields = {name: asked.text(name) for name in oversight.FIELDS}
    try:
        oversight.query_of(fields)
    except ValueError as error:
        return await _form(asked, str(error), fields)
    keep(asked, query=fields)
    return asked.see("/dpo/accords")


async def _results(office: Office, asked: Asked) -> Page:
    fields = kept(asked, "query") or {}
    try:
        query = oversight.query_of(fields, asked.query.get("after", ""))
    except ValueError:
        raise Missing from None
    found = await office.parts.ledger.query(*asker(asked), query)
    policy, now_s = office.policy, office.now_s
    data = {
        "rows": [oversight.row(row, found.head, policy, now_s, asked.tr) for row in found.rows],
        "total": found.total,
        "next": found.next,
        "filters": {name: value for name, value in fields.items() if value},
        "head": oversight.head(found.head),
    }
    return Page("dpo/results.html", data)


async def _all(office: Office, asked: Asked, most: int) -> list[Found]:
    """Every page of what was sought last, up to so many rows."""
    found, fields = list[Found](), kept(asked, "query") or {}
    while not found or (found[-1].next and sum(len(page.rows) for page in found) < most):
        query = oversight.query_of(fields, found[-1].next if found else "", min(most, _PAGE_MAX))
        found.append(await office.parts.ledger.query(*asker(asked), query, False))
    return found


async def _export(office: Office, asked: Asked) -> Response:
    if asked.text("format") == "jsonld":
        return await _records(office, asked)
    found = await _all(office, asked, EXPORT_MAX)
    rows = [told.flat(row) for page in found for row in page.rows]
    files = {
        "accords.csv": told.csv_text(told.COLUMNS, rows),
        "accords.schema.json": told.table_schema(told.COLUMNS),
        "checkpoint.txt": found[-1].head.checkpoint,
    }
    return attached(
        told.archive({name: text.encode() for name, text in files.items()}), "accords.zip", "application/zip"
    )


async def _records(office: Office, asked: Asked) -> Response:
    """ISO/IEC TS 27560 records; what was erased has none any more."""
    graph: list[Any] = []
    for page in await _all(office, asked, RECORDS_MAX):
        for row in page.rows:
            try:
                document = record.parse(await office.parts.ledger.receipt(row.authorisation))
            except Refused:
                continue
            graph.append(record.record(document))
    context = graph[0]["@context"] if graph else {}
    body = {"@context": context, "@graph": [{k: v for k, v in one.items() if k != "@context"} for one in graph]}
    return attached(json.dumps(body, ensure_ascii=False, indent=1).encode(), "accords.jsonld", "application/ld+json")


def _id(asked: Asked) -> bytes:
    found = number(asked.path["id"])
    if not found:
        raise Missing
    return bytes.fromhex(found)


async def _one(office: Office, asked: Asked) -> Page:
    lived = await office.parts.ledger.life(*asker(asked), _id(asked))
    policy, now_s = office.policy, office.now_s
    data = {
        "row": oversight.row(lived.row, lived.head, policy, now_s, asked.tr),
        "facts": [oversight.fact(fact, lived.head, policy, now_s, asked.tr) for fact in lived.facts],
        "uses": [plain(use) | _words(use.code, use.reason, use.delivery, asked) for use in lived.uses],
        "vkey": str(office.parts.trust.log),
        "head": oversight.head(lived.head),
    }
    return Page("dpo/one.html", data)


def _words(code: str, reason: str, delivery: str, asked: Asked) -> dict[str, str]:
    known = CATALOGUE[Code(reason)].cause(asked.language) if reason in tuple(Code) else reason
    return {
        "code_text": told.word(code, asked.tr),
        "reason_text": known,
        "delivery_text": told.word(delivery, asked.tr),
    }


async def _bundle(office: Office, asked: Asked) -> Response:
    """Everything that proves one authorisation's life, and how to check it again."""
    lived = await office.parts.ledger.life(*asker(asked), _id(asked))
    files = proofs(lived.facts, lived.head)
    with suppress(Refused):  # erased: what its leaves say is gone, that they are there is not
        files["receipt.jsonld"] = (await office.parts.ledger.receipt(lived.row.authorisation)).encode()
    return attached(_with_readme(office, files, asked.tr), "preuves.zip", "application/zip")


def proofs(facts: tuple[Fact, ...], head: Head) -> dict[str, bytes]:
    """The tlog-proof of each fact, by file name."""
    return {oversight.file_name(fact): told.tlog_proof(fact, head).encode() for fact in facts}


def _with_readme(office: Office, files: dict[str, bytes], tr: Tr) -> bytes:
    vkey = str(office.parts.trust.log)
    more = {"log.vkey": f"{vkey}\n".encode(), "LISEZMOI.txt": oversight.readme(vkey, list(files), tr).encode()}
    return told.archive(files | more)


async def _receipt(office: Office, asked: Asked) -> Response:
    lived = await office.parts.ledger.life(*asker(asked), _id(asked))
    document = record.parse(await office.parts.ledger.receipt(lived.row.authorisation))
    return attached(await asyncio.to_thread(paper.draw, document, asked.language), "recu.pdf", "application/pdf")


async def _which(asked: Asked) -> Page | Response:
    """By the number of a request: on what basis was it answered?"""
    wanted = number(asked.text("numero"))
    if wanted:
        return asked.see(f"/dpo/demandes/{wanted}")
    problem = asked.request.method == "POST"
    return Page("dpo/which.html", {"typed": asked.text("numero"), "problem": problem}, 422 if problem else 200)


async def _basis(office: Office, asked: Asked) -> Page:
    found: Grounds = await office.parts.ledger.basis(*asker(asked), _id(asked))
    data = {
        "grounds": [_ground(office, asked, ground, found.head) for ground in found.grounds],
        "request": asked.path["id"],
        "vkey": str(office.parts.trust.log),
        "head": oversight.head(found.head),
    }
    return Page("dpo/basis.html", data)


def _ground(office: Office, asked: Asked, ground: Ground, head: Head) -> dict[str, Any]:
    policy, now_s = office.policy, office.now_s
    shown: dict[str, Any] = {
        name: plain(getattr(ground, name))
        for name in ground.__struct_fields__
        if name not in ("authorisation", "facts")
    }
    return (
        shown
        | _words(ground.code, ground.reason, ground.delivery, asked)
        | {
            "row": oversight.row(ground.authorisation, head, policy, now_s, asked.tr),
            "facts": [oversight.fact(fact, head, policy, now_s, asked.tr) for fact in ground.facts],
        }
    )
