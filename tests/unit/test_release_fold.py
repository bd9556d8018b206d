"""The fate of answers and verdicts: the request table of protocol §4, cell by cell, and T-release's rule, field by field."""

from __future__ import annotations

import msgspec
import pytest

from consent.core.facts import Answer, Authorisation, Position, RequestKey, State, Verdict
from consent.core.release import DROP, Fate, Held, Row, Seen, fold, refusal
from exchange.core.errors import Code
from exchange.core.sealing import NO_RULE, Context, answer_digest

OPERATOR, A, NOW_MS, DEADLINE_MS = "211300553", b"a" * 16, 1_000, 2_000
KEY = RequestKey(OPERATOR, A, b"r" * 16)
D, OTHER_D, CERTIFICATE, RECIPIENT_KEY = b"d" * 32, b"e" * 32, b"c" * 32, b"k" * 16
SCOPES = ("adresse", "quotient")
ANSWER = Answer(KEY, "cnaf", D, b"t" * 32, b"s" * 80, b"outer", Position("answers.cnaf.v1", 0, 7))
OTHER_ANSWER = msgspec.structs.replace(ANSWER, outer=b"another")
CONTEXT = Context(D, CERTIFICATE, RECIPIENT_KEY, b"h" * 32, SCOPES, NO_RULE, DEADLINE_MS)
AUTHORISATION = Authorisation(
    A, 1, State.LIVE, "21130055300016", "cnaf", "cnaf.quotient-familial.v1", "cantine", SCOPES, 500, 5_000, 0, 10,
    b"certificate", CERTIFICATE, (OPERATOR,), SCOPES,
)  # fmt: skip
HELD = Held(AUTHORISATION, {OPERATOR: RECIPIENT_KEY}, frozenset({CERTIFICATE}))
WITHDRAWN = Held(msgspec.structs.replace(AUTHORISATION, state=State.WITHDRAWN), HELD.recipient_keys, frozenset())


def seen(answer: Answer = ANSWER, context: Context = CONTEXT, inner: bytes | None = b"inner") -> Seen:
    """As it leaves the checks made without locks."""
    return Seen(answer, context, inner, b"T", answer_digest(answer.tag, answer.sealed_key, answer.outer))


VALID = seen()


def verdict(code: str, digest: bytes = D) -> Seen:
    return Seen(Verdict(KEY, digest, DEADLINE_MS, code, Code.PROVIDER_ERROR, "37002"))  # type: ignore[arg-type]


def row(code: str, *, confirmed: bool = False) -> Row:
    told = answer_digest(ANSWER.tag, ANSWER.sealed_key, ANSWER.outer) if code == "released" else b""
    return Row(D, code, "" if code == "released" else Code.USED_UP, "", told, confirmed)  # type: ignore[arg-type]


def fate(seen: Seen, known: Row | None = None, held: Held | None = HELD, now_ms: int = NOW_MS) -> str:
    """One item's fate in words."""
    (found,), _ = fold([seen], {KEY: known} if known else {}, {A: held} if held else {}, now_ms)
    words = (found.action, found.code if found.action in ("insert", "again") else "", found.delivery, found.reason)
    return " ".join(w for w in words if w and w != "none")


NO_ROW, DUE, RELEASED, FAILED, CONFIRMED = "no row", "no row, late", "released", "failed", "confirmed"
YES, NO, OTHER, REFUSED, BROKEN, CANCELLED, EXPIRED = (
    "valid answer, rule yes", "valid answer, rule no", "another answer", "verdict refused", "verdict failed", "verdict cancelled", "verdict expired",
)  # fmt: skip
TABLE = [
    (NO_ROW, YES, "insert released key"),
    (NO_ROW, NO, "insert refused withdrawn"),
    (NO_ROW, REFUSED, "insert refused provider_error"),
    (NO_ROW, BROKEN, "insert failed provider_error"),
    (NO_ROW, CANCELLED, "insert cancelled provider_error"),
    (NO_ROW, EXPIRED, "drop"),
    (DUE, YES, "insert expired deadline_passed"),
    (DUE, NO, "insert expired deadline_passed"),
    (DUE, REFUSED, "insert refused provider_error"),
    (DUE, BROKEN, "insert failed provider_error"),
    (DUE, CANCELLED, "insert cancelled provider_error"),
    (DUE, EXPIRED, "insert expired provider_error"),
    (RELEASED, YES, "again released key"),
    (RELEASED, NO, "again released cut"),
    (RELEASED, OTHER, "drop"),
    (RELEASED, REFUSED, "drop"),
    (RELEASED, BROKEN, "drop"),
    (RELEASED, CANCELLED, "drop"),
    (RELEASED, EXPIRED, "drop"),
    *((FAILED, message, "again failed used_up") for message in (YES, NO, OTHER, REFUSED, BROKEN, CANCELLED, EXPIRED)),
    *((CONFIRMED, message, "drop") for message in (YES, NO, OTHER, REFUSED, BROKEN, CANCELLED, EXPIRED)),
]
ROWS = {
    NO_ROW: None,
    DUE: None,
    RELEASED: row("released"),
    FAILED: row("failed"),
    CONFIRMED: row("released", confirmed=True),
}
MESSAGES = {
    YES: VALID, NO: seen(inner=None), OTHER: seen(OTHER_ANSWER), REFUSED: verdict("refused"),
    BROKEN: verdict("failed"), CANCELLED: verdict("cancelled"), EXPIRED: verdict("expired"),
}  # fmt: skip


@pytest.mark.parametrize(("known", "message", "expected"), TABLE)
def test_each_cell(known: str, message: str, expected: str) -> None:
    """The protocol's table, read aloud: what is there, what comes, what becomes of it."""
    now_ms = DEADLINE_MS if known == DUE else NOW_MS
    held = WITHDRAWN if message == NO else HELD
    assert fate(MESSAGES[message], ROWS[known], held, now_ms) == expected


@pytest.mark.parametrize("known", ["released", "refused", "failed", "expired", "cancelled"])
@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("message", ["answer", "verdict"])
def test_other_bytes_under_a_known_id_are_a_conflict(known: str, confirmed: bool, message: str) -> None:
    """Any row, another digest: conflict for that submission, and the row is untouched."""
    context = CONTEXT.__class__(OTHER_D, *msgspec.structs.astuple(CONTEXT)[1:])
    other = seen(msgspec.structs.replace(ANSWER, digest=OTHER_D), context)
    items = [other if message == "answer" else verdict("failed", OTHER_D), VALID]
    (found, same), uses = fold(items, {KEY: row(known, confirmed=confirmed)}, {A: HELD}, NOW_MS)
    assert found == Fate("conflict", reason=Code.CONFLICT) and uses == {}
    assert same.code == known or same == DROP


def change(held: Held, **changes: object) -> Held:
    return held._replace(authorisation=msgspec.structs.replace(held.authorisation, **changes))


def bound(**changes: object) -> Seen:
    return VALID._replace(context=msgspec.structs.replace(CONTEXT, **changes))


@pytest.mark.parametrize(
    ("seen", "held", "reason"),
    [
        (VALID, HELD, None),
        (VALID, None, Code.AUTHORISATION_UNKNOWN),
        (VALID, change(HELD, state=State.REQUESTED), Code.NOT_YET_GIVEN),
        (VALID, change(HELD, state=State.REFUSED), Code.CONSENT_REFUSED),
        (VALID, change(HELD, state=State.OPPOSED), Code.OPPOSED),
        (VALID, change(HELD, state=State.WITHDRAWN), Code.WITHDRAWN),
        (VALID, change(HELD, state=State.ERASED), Code.ERASED),
        (VALID, change(HELD, state=State.EXPIRED), Code.EXPIRED),
        (VALID, change(HELD, state=State.USED_UP), Code.USED_UP),
        (VALID, change(HELD, state=State.INVALIDATED), Code.INVALIDATED),
        (VALID, change(HELD, state=State.ENDED), Code.ENDED),
        (VALID, change(HELD, not_before_ms=NOW_MS + 1), Code.NOT_YET_VALID),
        (VALID, change(HELD, not_before_ms=NOW_MS), None),
        (VALID, change(HELD, not_after_ms=NOW_MS - 1), Code.EXPIRED),
        (VALID, change(HELD, not_after_ms=NOW_MS), Code.EXPIRED),
        (VALID, change(HELD, not_after_ms=NOW_MS + 1), None),
        (VALID, change(HELD, uses=9), None),
        (VALID, change(HELD, uses=10), Code.USED_UP),
        (VALID, change(HELD, operators=()), Code.DELEGATION_ABSENT),
        (VALID, change(HELD, operators=("130025265",)), Code.DELEGATION_ABSENT),
        (VALID, HELD._replace(recipient_keys={}), Code.DELEGATION_ABSENT),
        (VALID, HELD._replace(recipient_keys={OPERATOR: b"x" * 16}), Code.DELEGATION_ABSENT),
        (VALID, HELD._replace(recipient_keys={"130025265": RECIPIENT_KEY}), Code.DELEGATION_ABSENT),
        (bound(recipient_key=b"x" * 16), HELD, Code.DELEGATION_ABSENT),
        (VALID, change(HELD, habilitated=("quotient",)), Code.HABILITATION_ABSENT),
        (VALID, change(HELD, habilitated=()), Code.HABILITATION_ABSENT),
        (VALID, change(HELD, certificate_hash=b"x" * 32), Code.CERTIFICATE_OUTDATED),
        (bound(certificate_hash=b"x" * 32), HELD, Code.CERTIFICATE_OUTDATED),
        (VALID._replace(inner=None), HELD, Code.CERTIFICATE_OUTDATED),
        (VALID, change(HELD, scopes=("quotient",)), Code.SCOPE_EXCEEDED),
        (bound(scopes=()), HELD, Code.SCOPE_EXCEEDED),
        (bound(scopes=("quotient",)), HELD, None),
    ],
)
def test_one_thing_wrong_and_nothing_is_opened(seen: Seen, held: Held | None, reason: Code | None) -> None:
    """I2: each condition of T-release on its own says no, with its own reason."""
    assert refusal(seen, held, held.authorisation.uses if held else 0, NOW_MS) == reason
    expected = "insert released key" if reason is None else f"insert refused {reason}"
    assert fate(seen, None, held) == expected


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [
        (DEADLINE_MS - 1, "insert released key"),
        (DEADLINE_MS, "insert expired deadline_passed"),
        (DEADLINE_MS + 1, "insert expired deadline_passed"),
    ],
)
def test_the_deadline_is_excluded(now_ms: int, expected: str) -> None:
    """Released until deadline - 1 ms."""
    assert fate(VALID, now_ms=now_ms) == expected


@pytest.mark.parametrize(
    ("now_ms", "expected"), [(DEADLINE_MS - 1, "drop"), (DEADLINE_MS, "insert expired provider_error")]
)
def test_an_expiry_proposed_too_early_is_dropped(now_ms: int, expected: str) -> None:
    """The proposer's clock decides nothing."""
    assert fate(verdict("expired"), now_ms=now_ms) == expected


def request(number: int) -> Seen:
    key = RequestKey(OPERATOR, A, number.to_bytes(16, "big"))
    return seen(msgspec.structs.replace(ANSWER, key=key))


SHOWN = HELD._replace(preview=True)
PULLS = SHOWN._replace(pulling=frozenset({OPERATOR}))
PENDING = Row(D, "waiting", "", "", answer_digest(ANSWER.tag, ANSWER.sealed_key, ANSWER.outer), False, "person")
LET = PENDING._replace(awaits="release")
TO_OPEN = PENDING._replace(awaits="collectivity")
PREVIEWS = [
    # row, held, pulled, fate, for whom it waits
    (None, SHOWN, False, "wait", "person"),
    (None, PULLS, False, "wait", "person"),
    (None, SHOWN, True, "wait", "person"),
    (PENDING, SHOWN, False, "wait", "person"),
    (PENDING, PULLS, True, "wait", "person"),
    (PENDING, HELD, True, "wait", "person"),
    (LET, SHOWN, False, "insert", ""),
    (LET, PULLS, False, "wait", "collectivity"),
    (LET, PULLS, True, "insert", ""),
    (TO_OPEN, PULLS, False, "wait", "collectivity"),
    (TO_OPEN, PULLS, True, "insert", ""),
]


@pytest.mark.parametrize(("known", "held", "pulled", "action", "awaits"), PREVIEWS)
def test_each_cell_of_a_preview(known: Row | None, held: Held, pulled: bool, action: str, awaits: str) -> None:
    """Whoever asks, nothing is released that its person has not let through; then it goes on as any other."""
    (found,), uses = fold([VALID], {KEY: known} if known else {}, {A: held}, NOW_MS, pulled=pulled)
    assert (found.action, found.awaits if action == "wait" else "", uses) == (
        action,
        awaits,
        {A: 1} if action == "insert" else {},
    )


@pytest.mark.parametrize("pulled", [False, True])
@pytest.mark.parametrize("known", [None, PENDING, LET])
def test_a_preview_does_not_outlive_what_it_is_of(known: Row | None, pulled: bool) -> None:
    """Waiting for its person or let through: withdrawn, or too late, it is refused or has expired like any other."""
    rows = {KEY: known} if known else {}
    gone, late = WITHDRAWN._replace(preview=True), SHOWN
    (refused,), _ = fold([VALID], rows, {A: gone}, NOW_MS, pulled=pulled)
    (expired,), _ = fold([VALID], rows, {A: late}, DEADLINE_MS, pulled=pulled)
    assert (refused.code, refused.reason, expired.code) == ("refused", Code.WITHDRAWN, "expired")


def test_its_person_s_no_closes_what_waits() -> None:
    """As a verdict; one answer that waits in the chunk counts for the next."""
    no = Seen(Verdict(KEY, D, DEADLINE_MS, "refused", Code.PREVIEW_REJECTED))
    (first, second, third), uses = fold([VALID, no, VALID], {}, {A: SHOWN}, NOW_MS)
    assert (first.action, second.reason, third) == (
        "wait",
        Code.PREVIEW_REJECTED,
        Fate("again", "refused", reason=Code.PREVIEW_REJECTED),
    )
    assert uses == {}


def test_uses_decided_earlier_in_the_chunk_count() -> None:
    """Three answers, two uses left: two released, one refused, in order."""
    fates, uses = fold([request(n) for n in range(3)], {}, {A: change(HELD, uses=8)}, NOW_MS)
    assert [f.code for f in fates] == ["released", "released", "refused"] and uses == {A: 10}


def test_rows_decided_earlier_in_the_chunk_count() -> None:
    """A duplicate in one chunk is told again, and not counted again; then a verdict changes nothing."""
    fates, uses = fold([request(1), request(1), verdict("failed"), VALID], {}, {A: HELD}, NOW_MS)
    assert [(f.action, f.code) for f in fates] == [
        ("insert", "released"),
        ("again", "released"),
        ("insert", "failed"),
        ("again", "failed"),
    ]
    assert uses == {A: 1}


def test_a_fold_in_two_chunks_decides_what_one_does() -> None:
    """Order matters, the cut between chunks does not."""
    items = [request(n % 3) for n in range(7)]
    whole, uses = fold(items, {}, {A: change(HELD, uses=8)}, NOW_MS)
    first, early = fold(items[:2], {}, {A: change(HELD, uses=8)}, NOW_MS)
    digest = answer_digest(ANSWER.tag, ANSWER.sealed_key, ANSWER.outer)
    rows = {i.item.key: Row(D, f.code, f.reason, "", digest, False) for i, f in zip(items[:2], first, strict=True)}
    rest, late = fold(items[2:], rows, {A: change(HELD, uses=early[A])}, NOW_MS)
    assert (first + rest, {**early, **late}) == (whole, uses)
