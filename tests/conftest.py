"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from exchange.embedded.choose import EMBEDDED, VARIABLE, open_kafka
from exchange.embedded.errors import EmbeddedError

for name in (
    "COLUMNS",
    "LINES",
):  # readline leaves them to pytest-xdist's processes; a terminal's width is each test's own
    os.environ.pop(name, None)
settings.register_profile("accord", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("accord")  # a machine with other work to do is slow, not wrong


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a real broker, one for the session; `ACCORD_KAFKA` chooses which."""
    with ExitStack() as stack:
        choice = os.environ.get(VARIABLE, EMBEDDED)
        try:
            address = stack.enter_context(open_kafka(choice, tmp_path_factory.mktemp("kafka")))
        except EmbeddedError as error:
            if error.code == "no_docker":
                pytest.skip(str(error))
            pytest.fail(str(error), pytrace=False)
        yield address
