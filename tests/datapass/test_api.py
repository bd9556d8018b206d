"""DataPass's API read, from a real HTTP server of the documented shape."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from consent.keys import BadKeyFile
from exchange.core.datapass.events import Right, Snapshot
from exchange.datapass.client import BEHIND_S, PAGE, Client, DataPassUnavailable, read_credentials
from exchange.datapass.desk import Desk
from exchange.datapass.memory import Memory
from exchange.datapass.server import read_secrets
from tests.datapass.calls import ALL, OTHER, RULES, SCOPES
from tests.datapass.portal import CLIENT, DataPass, secret_file
from tests.world import World, log_size

NOW_S = 1_800_000_000


async def snapshots(datapass: DataPass, siret: str = "", credentials: tuple[str, str] = CLIENT) -> list[Snapshot]:
    async with httpx.AsyncClient() as http:
        return await Client(http, credentials, datapass.url).snapshots(NOW_S, siret)


async def test_every_demande_is_read(datapass: DataPass) -> None:
    """All pages, all states, by demande: what is active is given, the rest is over; our clock counts five minutes less."""
    for number in range(PAGE + 1):
        datapass.give(number, scopes=["cnaf_enfants"])
    datapass.give(0, state="obsolete", scopes=["cnaf_adresse"])
    datapass.give(7_000, OTHER, "revoked")
    found = {one.demande: one for one in await snapshots(datapass)}
    assert (len(found), datapass.pages) == (PAGE + 2, 2)
    assert {right.scope for right in found["0"].rights} == {"cnaf_enfants"} and {r.scope for r in found["0"].over} == {
        "cnaf_adresse"
    }
    assert found["7000"].rights == frozenset() and len(found["7000"].over) == len(ALL)
    assert {one.at_s for one in found.values()} == {NOW_S - BEHIND_S}


async def test_of_one_organisation(datapass: DataPass) -> None:
    """With a SIRET, its own demandes only."""
    datapass.give(1)
    datapass.give(2, OTHER)
    assert [one.demande for one in await snapshots(datapass, OTHER)] == ["2"]


def _endless(_: Request) -> Response:
    return Response(gzip.compress(b"[" + b" " * (65 << 20) + b"]"), headers={"content-encoding": "gzip"})


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda _: JSONResponse({}, 500), lambda _: JSONResponse({}, 403), lambda _: RedirectResponse("http://127.0.0.1:1/"), lambda _: Response(b"\xff"),
        lambda _: Response(b"[" * 100_000), lambda _: JSONResponse({"access_token": 1}), lambda _: JSONResponse([{"state": "perhaps"}]), _endless,
        lambda _: Response(b"x", headers={"content-encoding": "gzip"}),
    ],
    ids=["500", "403", "redirect", "utf-8", "deep", "types", "state", "bomb", "not-gzip"],
)  # fmt: skip
async def test_an_answer_that_is_none(datapass: DataPass, spoilt: Callable[[Request], Response]) -> None:
    """Errors, redirects, other types, too deep, too much once unpacked: `DataPassUnavailable`, for the token as for the list."""
    for path in ("/oauth/token", "/habilitations"):
        datapass.spoil = lambda request, path=path: spoilt(request) if request.url.path.endswith(path) else None  # type: ignore[misc]
        with pytest.raises(DataPassUnavailable) as error:
            await snapshots(datapass)
        assert "jeton" not in str(error.value) and CLIENT[1] not in str(error.value)


async def test_wrong_credentials_and_nobody_there(datapass: DataPass) -> None:
    """Another secret, or no server: the same error, with its status where there is one."""
    with pytest.raises(DataPassUnavailable, match="401"):
        await snapshots(datapass, credentials=(CLIENT[0], "autre"))
    datapass.url = "http://127.0.0.1:1"
    with pytest.raises(DataPassUnavailable, match="ConnectError"):
        await snapshots(datapass)


async def test_reconciling_brings_the_ledger_into_line(datapass: DataPass) -> None:
    """What is active is given, what is revoked is taken back even where nobody heard that it was given; again writes nothing. What is
    not listed stays, and what a webhook said in the last five minutes counts more than the list."""
    world = await World.open()
    desk = Desk(world.ledger, Memory(None), RULES, SCOPES, world.clock)
    now_s = world.clock.now_ms() // 1000
    datapass.give(1, OTHER)
    datapass.give(2, state="revoked")

    async def reconciled() -> list[str]:
        async with httpx.AsyncClient() as http:
            told = await Client(http, CLIENT, datapass.url).snapshots(now_s)
        return [act.reason for act in await desk.settle(told, again=True)]

    assert await reconciled() == ["revoked", "approved"]
    size = await log_size(world)
    assert await reconciled() == [] and await log_size(world) == size
    datapass.habilitations.clear()
    assert await reconciled() == []
    datapass.give(1, OTHER)
    assert [a.reason for a in await desk.settle([Snapshot("1", now_s, frozenset())])] == ["revoked"]
    assert await reconciled() == []
    assert not any(h.scopes for h in await world.ledger.habilitations() if h.recipient == OTHER)


async def test_what_is_due_is_renewed(datapass: DataPass) -> None:
    """An habilitation that DataPass still lists does not lapse: past half its validity, reconciling gives it its whole validity again."""
    world = await World.open()
    desk, day_ms = Desk(world.ledger, Memory(None), RULES, SCOPES, world.clock), 86_400_000
    told = [Snapshot("1", 5, frozenset(Right(OTHER, "api_particulier", scope, "x") for scope in ALL))]
    assert [act.reason for act in await desk.settle(told, again=True)] == ["approved"]
    world.clock.advance(RULES.validity_days * day_ms // 2 + 1)
    assert await desk.settle(told) == []
    assert [act.reason for act in await desk.settle(told, again=True)] == ["renewed"]


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    """Files others can read, short secrets and files without two words are refused; several secrets serve a change of secret."""
    assert read_secrets(secret_file(tmp_path / "a", f"{'a' * 16}\n\n{'b' * 16}\n")) == (b"a" * 16, b"b" * 16)
    assert read_credentials(secret_file(tmp_path / "b", "id\nsecret\n")) == ("id", "secret")
    for text, mode in (("a" * 16, 0o644), ("court", 0o600), ("", 0o600)):
        with pytest.raises(BadKeyFile):
            read_secrets(secret_file(tmp_path / "c", text, mode))
    with pytest.raises(ValueError):
        read_credentials(secret_file(tmp_path / "d", "id"))
