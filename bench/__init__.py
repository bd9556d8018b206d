"""How fast, beside its limit, in the same run: `accord bench`."""
