"""A PostgreSQL server of our own: unprivileged, in a directory that goes away, on a Unix socket only, fsync on."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import psycopg

ACCOUNT = "postgres"
_PATIENT = "-c idle_in_transaction_session_timeout=60s -c lock_timeout=60s -c statement_timeout=60s"


def programs() -> Path | None:
    """Where the newest server's programs are: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return Path(found).parent if found else places[-1].parent if places else None


class Server:
    """One server. The server itself refuses to be root: root starts it as the account that Debian's package made."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self.folder = Path(
            tempfile.mkdtemp(prefix="accord-pg-", dir="/tmp")
        )  # a socket's path is short, and the server's account must reach it
        self._account: dict[str, Any] = {}
        if os.getuid() == 0:
            self._account = {"user": ACCOUNT, "group": pwd.getpwnam(ACCOUNT).pw_gid, "extra_groups": []}
            shutil.chown(self.folder, ACCOUNT)
        self._run("initdb", "-A", "trust", "-U", ACCOUNT, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """It ends with us, however we end."""
        argv = ["setpriv", "--pdeathsig=INT", str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder),
                "-c", "listen_addresses=", "-c", "shared_buffers=64MB"]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._account
            )
        deadline_s = monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None and monotonic() < deadline_s, (self.folder / "log").read_text()

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url()):
            return True
        return False

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-w", "-s", "-m", mode, "stop")
        self._process.wait(60)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        argv = [str(self._bin / program), "-D", str(self.folder / "data"), *arguments]
        environment = {"HOME": str(self.folder), "PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
        subprocess.run(
            argv, check=True, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            timeout=60, **self._account,
        )  # fmt: skip

    def url(self, database: str = ACCOUNT, *, patient: bool = True) -> str:
        """`patient`: with timeouts for a machine that has much else to do; else with our own."""
        url = f"postgresql://{ACCOUNT}@/{database}?host={self.folder}"
        return f"{url}&options={quote(_PATIENT)}" if patient else url

    def store(self) -> str:
        """The URL of an empty database: the same each time, without what was in it."""
        if shown(self.url(), "SELECT 1 FROM pg_database WHERE datname = 'store'") is None:
            self.execute("CREATE DATABASE store")
        url = self.url("store")
        with psycopg.connect(url) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return url

    def execute(self, *statements: str) -> None:
        """As the server's administrator."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def change(self, *statements: str) -> None:
        """Change settings of the running server (`ALTER SYSTEM`), in force when this returns."""
        question = "SELECT pg_conf_load_time()"
        before = shown(self.url(), question)
        self.execute(*statements, "SELECT pg_reload_conf()")
        deadline_s = monotonic() + 30
        while shown(self.url(), question) == before:
            assert monotonic() < deadline_s


def shown(url: str, question: str) -> Any:
    """The one value that answers a question; None without one."""
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row and row[0]


@contextmanager
def running(bin_folder: Path) -> Iterator[Server]:
    """A server for the block, and nothing of it afterwards."""
    server = Server(bin_folder)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(server.folder, ignore_errors=True)
