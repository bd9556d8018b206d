"""Hypothesis strategies shared by the property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from exchange.core.sealing import Context
from exchange.data_sets import QUOTIENT_FAMILIAL

IDS = st.binary(min_size=16, max_size=16)
HASHES = st.binary(min_size=32, max_size=32)
SCOPES = st.lists(st.sampled_from(sorted(QUOTIENT_FAMILIAL.scopes)), unique=True, min_size=1).map(
    lambda s: tuple(sorted(s))
)
TIMES_MS = st.integers(0, (1 << 63) - 1)
CONTEXTS = st.builds(
    Context,
    digest=HASHES,
    certificate_hash=HASHES,
    recipient_key=IDS,
    schema_hash=HASHES,
    scopes=st.lists(st.text(max_size=8), max_size=4).map(tuple),
    rule_hash=HASHES,
    deadline_ms=TIMES_MS,
)
