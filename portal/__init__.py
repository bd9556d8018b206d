"""The doors for people and programs: the HTTP API and the web spaces of a bus."""
