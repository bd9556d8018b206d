"""The access log: who asked what, when, and what became of it; a database of its own, kept 12 months."""
