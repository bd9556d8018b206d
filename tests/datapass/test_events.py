"""What DataPass tells, read."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.datapass.events import BadCall, Right, Snapshot, line, merge, read, scopes, signed
from tests.datapass.calls import ALL, LEGAL, RECIPIENT, SECRET, authorization, body_of, event, headers_of

NOW_S = 1_800_000_000
RIGHTS = st.builds(Right, st.sampled_from(["1", "2"]), st.just("d"), st.sampled_from("abc"), st.just(""))
SNAPSHOTS = st.builds(
    Snapshot, st.just("9"), st.integers(1, 3), st.frozensets(RIGHTS, max_size=4), st.frozensets(RIGHTS, max_size=2)
)


def told(payload: dict[str, Any]) -> Snapshot:
    found = read(body_of(payload), NOW_S)
    assert found is not None
    return found


def test_only_what_datapass_signed() -> None:
    """The HMAC of the raw bytes under one of the secrets; no other bytes, secret, form or header."""
    body = body_of({"test": True})
    header = headers_of(body)["X-Hub-Signature-256"]
    assert signed(body, header, [SECRET]) and signed(body, header, [b"another", SECRET])
    for wrong in ("", "sha256=", header.upper(), header[7:], header + " ", "sha1=" + header[7:], "\udcff", "é" * 71):
        assert not signed(body, wrong, [SECRET])
    assert (
        not signed(body + b" ", header, [SECRET])
        and not signed(body, header, [b"another"])
        and not signed(body, header, [])
    )


def test_an_approval_gives_its_scopes() -> None:
    """Each scope of the active habilitation is a right of the organisation, with the legal basis on one line."""
    found = told(event("approve", 5, authorization("obsolete", ["ancien"]), authorization()))
    assert (found.demande, found.at_s) == ("9001", 5)
    assert found.rights == {Right(RECIPIENT, "api_particulier", scope, " ".join(LEGAL.split())) for scope in ALL}
    assert {right.scope for right in found.over} == {"ancien"}


@pytest.mark.parametrize(
    "name",
    [
        "create",
        "update",
        "create_by_api",
        "update_by_api",
        "submit",
        "refuse",
        "request_changes",
        "archive",
        "reopen",
        "cancel_reopening",
        "transfer",
    ],
)
def test_rights_follow_the_habilitations_whatever_the_event(name: str) -> None:
    """A demande that is reopened, changed or refused keeps the habilitation it has; one without any has no right."""
    assert len(told(event(name, 5, authorization())).rights) == len(ALL)
    assert told(event(name, 5)).rights == frozenset()


def test_a_revocation_takes_all() -> None:
    """By the habilitation's state, by its `revoked` alone, by the demande's state, or without a list: nothing is given, and what was
    given is named."""
    payloads = [
        event("revoke", 5, authorization("revoked")), event("revoke", 5, authorization("active", revoked=True)),
        event("revoke", 5, authorization(), state="revoked"), event("revoke", 5),
    ]  # fmt: skip
    payloads[-1]["data"]["authorizations"] = None
    for payload in payloads:
        found = told(payload)
        assert found.rights == frozenset() and {right.scope for right in found.over} == set(ALL)


def test_one_habilitation_of_two_is_revoked() -> None:
    """What is still active stays."""
    found = told(event("revoke", 5, authorization("revoked"), authorization(scopes=["cnaf_enfants"])))
    assert {right.scope for right in found.rights} == {"cnaf_enfants"}


@pytest.mark.parametrize("siret", [None, "", "13002526500014", "x"])
def test_without_a_true_siret_nothing_is_given(siret: str | None) -> None:
    """An organisation without SIRET, or with a wrong one, gets no right."""
    assert told(event("approve", 5, authorization(), siret=siret)).rights == frozenset()


def test_a_test_call_says_nothing() -> None:
    """`{"test": true, "timestamp": …}` is understood and is no event."""
    assert read(body_of({"test": True, "timestamp": "2024-01-15T10:30:00+01:00"}), NOW_S) is None


BAD: list[bytes] = [
    b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 200_000, b'{"a":' * 200_000, body_of({"test": True}), body_of({"test": 1, "timestamp": ""}),
    body_of(event("approve", 5) | {"fired_at": "5"}), body_of(event("approve", 5) | {"fired_at": 5.5}), body_of(event("approve", 0)),
    body_of(event("approve", NOW_S * 1_000)), body_of(event("approve", 5) | {"data": None}), body_of(event("approve", 5, authorization("active", data=[]))),
    body_of(event("approve", 5, authorization("perhaps"))), body_of({"event": "approve", "fired_at": 5, "data": {"id": 1}}),
    body_of({"event": "approve", "fired_at": 5, "data": {"id": "../1", "authorizations": []}}),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_what_is_no_call_is_refused(body: bytes) -> None:
    """Not JSON, too deep, of other types, without date or list, of an unknown state, far in the future: BadCall, nothing else."""
    with pytest.raises(BadCall):
        read(body, NOW_S)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing but BadCall comes out of bytes."""
    with contextlib.suppress(BadCall):
        assert read(body, NOW_S) is None


@given(st.lists(SNAPSHOTS, min_size=1, max_size=4))
def test_order_and_repeats_change_nothing(snapshots: list[Snapshot]) -> None:
    """Whatever order calls come in, however often, the same is known in the end: the latest, and of one second what all give."""
    ends = set()
    for order in itertools.permutations([*snapshots, snapshots[0]]):
        known: Snapshot | None = None
        for one in order:
            known = merge(known, one)
        ends.add(known)
    assert len(ends) == 1
    latest = max(one.at_s for one in snapshots)
    (end,) = ends
    assert end is not None
    assert end.rights == frozenset.intersection(*(one.rights for one in snapshots if one.at_s == latest))


@pytest.mark.parametrize(
    ("value", "found"),
    [(["a", "b"], ["a", "b"]), ('["a","b"]', ["a", "b"]), ("a, b", ["a", "b"]), ("", []), (None, []), ({"a": True}, []), (["a", 1, "\x00", "x" * 201], ["a"]), ("[" * 99_999, [])],
)  # fmt: skip
def test_scopes_in_any_of_their_forms(value: object, found: list[str]) -> None:
    """A list, a list in JSON, words between commas; anything else is no scope."""
    assert scopes(value) == found


def test_a_text_on_one_line() -> None:
    """Line breaks become spaces, what cannot be printed goes, and it is not endless."""
    assert line("a\r\n b\x07\u202e") == "a b" and line(None) == "" and len(line("x" * 5_000)) == 1_000
