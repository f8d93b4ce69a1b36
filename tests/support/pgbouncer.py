"""pgbouncer in transaction mode in front of a PostgreSQL server: what many clients have between them and a database."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.postgres import SECONDS, PostgresServer, as_owner, free_port
from tests.support.strace import needed

PROGRAMS = ("pgbouncer", "/usr/sbin/pgbouncer")
POOL = 5
"""Connections to the server, for each database and user: fewer than the clients have, so that they are shared."""
_CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 500
server_reset_query_always = 0
server_login_retry = 1
"""


@dataclass(frozen=True, slots=True)
class PgBouncer:
    """A pgbouncer that runs on `port`."""

    port: int

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the URL of a database of the server behind it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


@contextmanager
def running_pgbouncer(server: PostgresServer, *, users: tuple[str, ...] = ("postgres",)) -> Iterator[PgBouncer]:
    """Start one in transaction mode, and stop it at the end. Skip the test where none is installed."""
    program = next((found for each in PROGRAMS if (found := shutil.which(each))), None)
    if program is None:
        needed("pgbouncer is not installed")
    with TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        users_file, configuration, log = folder / "users", folder / "pgbouncer.ini", folder / "log"
        users_file.write_text("".join(f'"{each}" ""\n' for each in users), encoding="utf-8")
        port = free_port()
        configuration.write_text(
            _CONFIGURATION.format(server=server.port, port=port, users=users_file, pool=POOL), encoding="utf-8"
        )
        with (
            log.open("wb") as written,
            subprocess.Popen(
                [str(program), str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                **as_owner(),
            ) as process,
        ):
            try:
                _wait_until_it_listens(process, port, log)
                yield PgBouncer(port)
            finally:
                process.kill()


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"pgbouncer did not start:\n{os.linesep.join(log.read_text().splitlines()[-20:])}")
        time.sleep(0.02)
