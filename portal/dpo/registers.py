"""The register of processing (GDPR art. 30), what a breach touched (art. 33), what deserves an eye, and the officer's own questions."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core import told
from consent.core.dossier import plain
from consent.core.query import Activity, Count, Passed
from exchange.core.errors import CATALOGUE, Code
from portal.core import oversight
from portal.dpo.office import ROLE, Office, asker, attached, with_reason
from portal.web.pages import Asked, Page, Pages

ALERT_DAYS = 30
NEAR_QUOTA = 0.8
_DAY_MS = 86_400_000
WITHOUT = frozenset({
    Code.AUTHORISATION_UNKNOWN, Code.NOT_YET_GIVEN, Code.NOT_YET_VALID, Code.CONSENT_REFUSED, Code.OPPOSED, Code.WITHDRAWN, Code.ERASED,
    Code.EXPIRED, Code.USED_UP, Code.INVALIDATED, Code.ENDED,
})  # fmt: skip
"""Refusals of what was asked without an agreement in force."""


def routes(office: Office, pages: Pages) -> list[BaseRoute]:
    """Periods and processes are in the address: they are nobody's."""
    return [
        *pages.page("/dpo/registre", with_reason(partial(_register, office)), ROLE),
        *pages.action("/dpo/registre/export", with_reason(partial(_register_file, office)), ROLE),
        *pages.page("/dpo/violation", with_reason(partial(_breach, office)), ROLE),
        *pages.action("/dpo/violation/export", with_reason(partial(_breach_file, office)), ROLE),
        *pages.page("/dpo/alertes", with_reason(partial(_alerts, office)), ROLE),
        *pages.page("/dpo/consultations", with_reason(partial(_own, office)), ROLE),
    ]


async def _register(office: Office, asked: Asked) -> Page:
    found = await office.parts.ledger.processing(*asker(asked))
    lines = [
        {
            "purpose": one.purpose,
            "controller": one.controller,
            "in_force": one.in_force,
            "told": told.activity(one, asked.tr),
        }
        for one in found.activities
    ]
    return Page("dpo/register.html", {"activities": lines, "head": oversight.head(found.head)})


async def _register_file(office: Office, asked: Asked) -> Response:
    found = await office.parts.ledger.processing(*asker(asked))
    if asked.text("format") == "markdown":
        return attached(told.markdown(found, asked.tr).encode(), "registre.md", "text/markdown; charset=utf-8")
    columns = Activity.__struct_fields__
    return _sheet("registre", columns, [told.flat_activity(one) for one in found.activities], found.head.checkpoint)


def _sheet(name: str, columns: tuple[str, ...], rows: list[dict[str, Any]], checkpoint: str) -> Response:
    files = {
        f"{name}.csv": told.csv_text(columns, rows),
        f"{name}.schema.json": told.table_schema(columns),
        "checkpoint.txt": checkpoint,
    }
    return attached(
        told.archive({file: text.encode() for file, text in files.items()}), f"{name}.zip", "application/zip"
    )


def _period(fields: dict[str, str]) -> tuple[int, int, str]:
    """From, to (excluded, 0 for no end), and the field that cannot be."""
    try:
        from_ms, to_ms = oversight.day_ms(fields["from"], "from"), oversight.day_ms(fields["to"], "to", end=True)
    except ValueError as error:
        return 0, 0, str(error)
    return (0, 0, "to") if to_ms and to_ms <= from_ms else (from_ms, to_ms, "")


async def _breach(office: Office, asked: Asked) -> Page:
    fields = {name: asked.query.get(name, "").strip() for name in ("worker", "from", "to")}
    from_ms, to_ms, problem = _period(fields)
    data: dict[str, Any] = {"typed": fields, "problem": problem, "found": None}
    if fields["worker"] and not problem:
        found = await office.parts.ledger.breach(*asker(asked), fields["worker"], from_ms, to_ms)
        words = (
            {"stage_text": told.word(p.stage, asked.tr), "delivery_text": told.word(p.delivery, asked.tr)}
            for p in found.passed
        )
        data["found"] = {
            "touched": [plain(one) for one in found.touched],
            "passed": [plain(one) | said for one, said in zip(found.passed, words, strict=True)],
            "head": oversight.head(found.head),
        }
    return Page("dpo/breach.html", data)


async def _breach_file(office: Office, asked: Asked) -> Response:
    fields = {name: asked.text(name) for name in ("worker", "from", "to")}
    from_ms, to_ms, _ = _period(fields)
    found = await office.parts.ledger.breach(*asker(asked), fields["worker"], from_ms, to_ms)
    return _sheet("violation", Passed.__struct_fields__, [plain(one) for one in found.passed], found.head.checkpoint)


async def _alerts(office: Office, asked: Asked) -> Page:
    fields = {name: asked.query.get(name, "").strip() for name in ("from", "to")}
    from_ms, to_ms, problem = _period(fields)
    from_ms = from_ms or max(0, office.parts.clock.now_ms() - ALERT_DAYS * _DAY_MS)
    found = await office.parts.ledger.alerts(*asker(asked), from_ms, to_ms)
    given = sum(one.count for one in found.channels)
    assisted = sum(one.count for one in found.channels if one.of != "online")
    data = {
        "typed": fields,
        "problem": problem,
        "from_ms": from_ms,
        "refusals": [_refusal(one, asked) for one in found.refusals],
        "without": sum(one.count for one in found.refusals if one.of in WITHOUT),
        "channels": [{"text": told.word(one.of, asked.tr), "count": one.count} for one in found.channels],
        "given": given,
        "assisted": assisted,
        "assisted_percent": round(100 * assisted / given) if given else 0,
        "agents": [
            {"agent": one.of, "count": one.count, "near": one.count >= NEAR_QUOTA * found.quota} for one in found.agents
        ],
        "quota": found.quota,
        "head": oversight.head(found.head),
    }
    return Page("dpo/alerts.html", data)


def _refusal(one: Count, asked: Asked) -> dict[str, Any]:
    known = one.of in tuple(Code)
    text = CATALOGUE[Code(one.of)].cause(asked.language) if known else one.of
    return {"code": one.of, "text": text, "count": one.count, "without": one.of in WITHOUT}


async def _own(office: Office, asked: Asked) -> Page:
    before = asked.query.get("before", "0")
    found = await office.parts.ledger.consultations(
        *asker(asked), int(before) if before.isdecimal() and len(before) < 16 else 0
    )
    told_ = [plain(one) | {"about": json.loads(one.about), "act_text": _act(one.act, asked)} for one in found.told]
    return Page("dpo/own.html", {"told": told_, "next": found.next, "head": oversight.head(found.head)})


_ACTS = {
    "query": ("recherche", "search"), "basis": ("base d'une remise", "basis of a release"), "refer": ("référence d'une personne", "a person's reference"),
    "breach": ("violation", "breach"), "dossier": ("dossier", "dossier"), "register": ("registre", "register"), "erase": ("effacement", "erasure"),
    "life": ("un accord", "one agreement"), "alerts": ("alertes", "alerts"), "consultations": ("mes consultations", "my questions"),
}  # fmt: skip


def _act(act: str, asked: Asked) -> str:
    return asked.tr(*_ACTS.get(act, (act, act)))
