"""The data protection officer's room: they say why, ask, and see the proof; whatever they ask is itself recorded."""
