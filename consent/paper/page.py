"""What a receipt's page says, from its document: values in, texts out. The template only lays them out."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any

from consent.core import wording
from consent.core.facts import State
from consent.core.record import Document, read
from consent.paper.words import WORDS
from exchange.core.rendering import day, rfc3339, time

_SHOWN = (
    (0x20, 0x7E),
    (0xA0, 0x17F),
    (0x218, 0x21B),
    (0x370, 0x3FF),
    (0x400, 0x45F),
    (0x2010, 0x2027),
    (0x202F, 0x203A),
    (0x20AC, 0x20AC),
)
"""Characters that the fonts typst ships have; anything else is shown as a box, so that a page can always be drawn."""


def short_code(document: Document) -> str:
    """What the QR code holds: the log, the entry and the head of its leaf's hash. Nothing of the person, nor of the agreement."""
    return f"accord:{document['accord:origin']}/{document['accord:entry']}#{document['accord:leafHash'][:16]}"


def page(document: Document, language: str) -> dict[str, Any]:
    """Everything printed, in `fr` or `en`."""
    said: dict[str, Any] = _shown(_Page(document, language).build())
    return said


class _Page:
    """One receipt in one language."""

    def __init__(self, document: Document, language: str) -> None:
        self.document, self.record, self.said, self.language = (
            document,
            document["dpv:hasRecordOfActivity"],
            read(document),
            language,
        )
        self.words, self.legal = WORDS[language], self.said.terms.basis == "legal"
        self.created_ms = _ms(document["dct:created"]["@value"])
        self.parties = {party["@id"]: party for party in self.record["dpv:hasEntity"]}

    def build(self) -> dict[str, Any]:
        w, at = self.words, datetime.fromtimestamp(self.created_ms / 1000, UTC)
        return {
            "language": self.language,
            "date": [at.year, at.month, at.day, at.hour, at.minute, at.second],
            "kicker": w["receipt"],
            "title": self._title(),
            "state": self._state(),
            "live": self._open(),
            "lead": self._lead(),
            "sections": [self._what(), self._how(), self._since()],
            "mind": {"title": w["mind"], "paragraphs": [self._mind(), *self._code(), w["mind_rights"]]},
            "proof": self._proof(),
            "issued": w["issued"].format(date=self._moment(self.created_ms)),
            "page": w["page"],
            "attached": [w["jsonld"], w["tlogproof"]],
        }

    def _title(self) -> str:
        refused = self.said.state is State.REFUSED
        return self.words["title_legal" if self.legal else "title_refused" if refused else "title"]

    def _open(self) -> bool:
        return self.said.state is State.LIVE and self.created_ms < self.said.terms.not_after_ms

    def _state(self) -> str:
        terms, state = self.said.terms, self.said.state.value
        at_ms = self.said.events[-1][1]
        if state == State.LIVE:
            late, early = self.created_ms >= terms.not_after_ms, self.created_ms < terms.not_before_ms
            state = "expired" if late else "later" if early else "live"
            at_ms = terms.not_before_ms if early else terms.not_after_ms - 1
        return self.words[f"state_{state}"].format(date=self._day(at_ms))

    def _lead(self) -> str:
        kind = {State.REQUESTED: "requested", State.REFUSED: "refused"}.get(self.said.state, "over")
        if self._open():
            kind = "legal" if self.legal else "live"
        return self.words[f"lead_{kind}"]

    def _mind(self) -> str:
        kind = "requested" if self.said.state is State.REQUESTED else "over"
        if self._open():
            kind = "legal" if self.legal else "consent"
        return self.words[f"mind_{kind}"].format(contact=self._contact())

    def _code(self) -> list[str]:
        code = self.document["accord:shortCode"]
        return [self.words["mind_code"].format(code=code.replace("-", "\u2011"))] if code and self._open() else []

    def _what(self) -> dict[str, Any]:
        w, t, process = self.words, self.said.terms, self.record["dpv:hasProcess"]
        basis = w["basis_legal"].format(text=t.legal_reference) if self.legal else w["basis_consent"]
        rows = [
            (w["who"], [_capital(self._recipient())] + ([f"SIRET {_siret(t.recipient)}"] if self._named() else [])),
            (w["data"], self._data(process)),
            (w["source"], [self.parties[process["dpv:hasDataSource"]["@id"]].get("dpv:hasName", t.provider.upper())]),
            (w["why"], [_capital(self._text(process["dpv:hasPurpose"]["dct:description"]))]),
            (w["basis"], [basis]),
            (w["until"], [w["period"].format(start=self._day(t.not_before_ms), end=self._day(t.not_after_ms - 1))]),
            (
                w["uses"],
                [
                    w["uses_text"].format(most=t.max_uses, made=self.record["accord:uses"]),
                    *self._watched(t.watch_every_ms),
                ],
            ),
            (w["life"], [self._life(t.data_life_days)]),
        ]
        over = not self._open() and self.said.state not in (State.REQUESTED, State.REFUSED)
        return {"title": w["what_over" if over else "what"], "rows": rows}

    def _data(self, process: Document) -> list[str]:
        data = [_capital(self._text(d["dct:description"])) for d in process["dpv:hasPersonalData"]]
        if "accord:rule" not in process:
            return data
        w, question = self.words, self._text(process["accord:rule"]["dct:description"])
        return [w["rule"].format(question=question), w["rule_from"].format(data=", ".join(data))]

    def _watched(self, every_ms: int) -> list[str]:
        words = wording.watched(every_ms)
        return [_capital(words.fr if self.language == "fr" else words.en)] if every_ms else []

    def _life(self, days: int) -> str:
        if days == 0:
            return self.words["life_none"]
        return self.words["life_years"].format(years=1) if days == 365 else self.words["life_days"].format(days=days)

    def _how(self) -> dict[str, Any]:
        w, c, t = self.words, self.said.collected, self.said.terms
        channel = self._of(wording.CHANNELS, c.channel)
        rows = [(w["channel"], [_capital(channel)])]
        if c.agent:
            rows.append((w["agent"], [c.agent]))
        if c.representation:
            rows.append((w["for"], [_capital(self._of(wording.REPRESENTATIONS, c.representation))]))
        rows.append((w["assurance"], [_capital(self._of(wording.ASSURANCES, c.assurance))]))
        if t.notice_hash or t.notice_version:
            fingerprint = t.notice_hash.hex()[:16] or "–"
            rows.append(
                (w["notice"], [_capital(w["notice_text"].format(version=t.notice_version or "–", hash=fingerprint))])
            )
        return {"title": w["how"], "rows": rows, "mark": w["assisted"] if c.assisted else ""}

    def _since(self) -> dict[str, Any]:
        w = self.words
        rows = [
            (self._short(at_ms), [w["given_legal" if self.legal and kind == "given" else kind]])
            for kind, at_ms, _ in self.said.events
        ]
        return {"title": w["since"], "rows": rows}

    def _proof(self) -> dict[str, Any]:
        w, d = self.words, self.document
        code = d["accord:leafHash"][:16]
        rows = [
            (w["log"], [d["accord:origin"]]),
            (w["entry"], [f"{d['accord:entry']}"]),
            (w["code"], [" ".join(code[i : i + 4] for i in range(0, 16, 4))]),
            (w["status"], [_capital(w[f"status_{d['accord:status']}"])]),
            (w["reference"], [self.record["dct:identifier"]]),
        ]
        return {
            "title": w["proof"],
            "rows": rows,
            "check": w["check"],
            "command": w["command"],
            "alt": w["qr"].format(code=short_code(d)),
        }

    def _named(self) -> bool:
        return "dpv:hasName" in self.parties[self.record["dpv:hasDataController"]]

    def _recipient(self) -> str:
        party, number = self.parties[self.record["dpv:hasDataController"]], _siret(self.said.terms.recipient)
        return str(party.get("dpv:hasName") or self.words["collectivity"].format(number=number))

    def _contact(self) -> str:
        party = self.parties[self.record["dpv:hasDataController"]]
        ways = (
            party.get("schema:contactPoint", {}).get("schema:email"),
            party.get("schema:address", {}).get("schema:streetAddress"),
            party.get("schema:url"),
        )
        said = ", ".join(str(way) for way in ways if way)
        return f" ({said})" if said else ""

    def _text(self, texts: list[dict[str, str]]) -> str:
        return next(text["@value"] for text in texts if text["@language"] == self.language)

    def _of(self, table: dict[str, wording.Words], name: str) -> str:
        found = table.get(name, wording.Words(name, name))
        return found.en if self.language == "en" else found.fr

    def _day(self, at_ms: int) -> str:
        return day(at_ms, self.language)

    def _moment(self, at_ms: int) -> str:
        clock = time(at_ms, self.language)
        return self.words["at"].format(day=self._day(at_ms), time=clock).removeprefix("le ")

    def _short(self, at_ms: int) -> str:
        return f"{self._day(at_ms)}, {time(at_ms, self.language)}"


def _ms(text: str) -> int:
    found = round(datetime.fromisoformat(text).timestamp() * 1000)
    assert rfc3339(found) == text  # the document was read before
    return found


def _siret(number: str) -> str:
    return "\u202f".join((number[:3], number[3:6], number[6:9], number[9:])) if len(number) == 14 else number


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(value: Any) -> Any:
    """The same, every text without what cannot be printed or would deceive the eye (controls, bidirectional marks)."""
    if isinstance(value, str):
        text = unicodedata.normalize("NFC", value).replace("'", "\u2019")
        return "".join(c if any(a <= ord(c) <= b for a, b in _SHOWN) else "\u25a1" for c in text)
    if isinstance(value, dict):
        return {key: _shown(found) for key, found in value.items()}
    return [_shown(found) for found in value] if isinstance(value, list | tuple) else value
