"""The console: what whoever looks after the bus sees of it (`/console`)."""
