"""The contract: Avro schemas (``avro/*.avsc``) and their registry (``registry.json``), read by ``exchange.schemas``."""
