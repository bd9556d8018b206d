"""Apache Kafka with nothing installed; `ACCORD_KAFKA` chooses another one."""

from __future__ import annotations

from exchange.embedded.broker import EmbeddedKafka
from exchange.embedded.choose import open_kafka
from exchange.embedded.errors import EmbeddedError, Text

__all__ = ["EmbeddedError", "EmbeddedKafka", "Text", "open_kafka"]
