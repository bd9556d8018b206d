"""Habilitations as DataPass gives and takes them: its webhooks, its API, its open data."""
