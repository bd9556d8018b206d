"""The ask and the certificate have a second version: what asks for neither rule nor watch is still written as the first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.certificates import Certificate
from exchange import wire
from exchange.core.avro import BadAvro
from exchange.core.decision import Ask
from exchange.core.rule import rule_hash
from exchange.schemas import Name, catalogue
from tests.rules.rules import UNDER_650, signed
from tests.world import World

TEXTS = st.text(max_size=20)
ASKS = st.builds(
    Ask, TEXTS, TEXTS, TEXTS, st.frozensets(TEXTS, max_size=3).map(lambda s: tuple(sorted(s))),
    st.dictionaries(TEXTS, TEXTS, max_size=3).map(lambda d: tuple(sorted(d.items()))),
    st.binary(max_size=300), st.integers(0, 1 << 40), st.integers(0, 1 << 40),
)  # fmt: skip


@given(ASKS)
def test_an_ask_is_read_as_it_was_written(ask: Ask) -> None:
    """Every ask has one form, whichever version says it, and is read back from it."""
    assert wire.read_ask(wire.write_ask(ask)) == ask


@given(ASKS.map(lambda ask: ask._replace(rule=b"", watch_every_ms=0, watch_until_ms=0)))
def test_a_plain_ask_is_what_an_older_writer_writes(ask: Ask) -> None:
    """Bytes of the first version are read, and written: a request keeps its digest, an older reader its requests."""
    first = catalogue().codecs[Name("ask", 1)]
    assert wire.write_ask(ask) == first.encode(first.decode(wire.write_ask(ask)))


@given(ASKS, st.integers(1, 400))
def test_an_ask_cut_short_is_never_another(ask: Ask, cut: int) -> None:
    """No bytes are an ask in two versions: less of one is none, but where it says a plain one and then its defaults."""
    data = wire.write_ask(ask)
    with pytest.raises(BadAvro):
        catalogue().codecs[Name("ask", 1)].decode(data + b"\x00\x00")
    short = wire.read_ask(data[:-cut])
    assert short is None or wire.write_ask(short) == data[:-cut]


async def test_a_plain_certificate_is_what_an_older_ledger_signed() -> None:
    """Without rule nor watch a certificate is one of the first version, and read; with either it says them."""
    world = await World.open()
    first, codecs = catalogue().codecs[Name("certificate", 1)], catalogue().codec("signed-certificate")

    async def inside(**terms: object) -> tuple[Certificate, bytes]:
        capsule = world.wallet.capsule(consent := await world.give(**terms))
        assert capsule is not None
        return world.certificate(consent), codecs.decode(capsule.certificate)["certificate"]

    plain, data = await inside()
    assert first.encode(first.decode(data)) == data
    assert (plain.rule_hash, plain.watch_every_ms) == (b"", 0)
    rule = signed(UNDER_650, world.keys)
    for terms, said in (
        ({"rule": rule, "scopes": ("cnaf_quotient_familial",)}, (rule_hash(rule), 0)),
        ({"watch_every_ms": 86_400_000}, (b"", 86_400_000)),
    ):
        found, data = await inside(**terms)
        assert (found.rule_hash, found.watch_every_ms) == said
        with pytest.raises(BadAvro):
            first.decode(data)
