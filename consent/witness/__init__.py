"""A witness of logs (c2sp.org/tlog-witness) that any collectivity or authority can run, and the client that asks one."""
