"""A PostgreSQL server with TLS and passwords: its certificates, and rules of who may come in."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.support.postgres import PostgresServer, new_server, server_owner
from tests.support.scheduled import require

TIMEOUT_S = 30.0
TRUSTED = "host all postgres 127.0.0.1/32 trust"
WITH_PASSWORD = "host all all 127.0.0.1/32 scram-sha-256"


class ServerCertificate(NamedTuple):
    """A certificate that signs itself, and its key."""

    certificate: Path
    key: Path


def make_server_certificate(folder: Path, *names: str, days: tuple[str, str] | None = None) -> ServerCertificate:
    """Make a certificate for these names (`DNS:…`, `IP:…`); `days`: not before and not after, as `YYYYMMDDHHMMSSZ`."""
    require("openssl")
    made = ServerCertificate(folder / "server.pem", folder / "server.key")
    key: list[str | Path] = ["-keyout", made.key, "-nodes"]
    name, alternatives = "/O=Example/CN=Example database CA", ",".join(names)
    if days is None:
        command = ["req", "-x509", "-newkey", "rsa:2048", *key, "-out", made.certificate, "-days", "2", "-subj", name]
        openssl(*command, "-addext", f"subjectAltName={alternatives}")
    else:  # `req` of OpenSSL 3.0 cannot say from when
        request, extensions = folder / "server.csr", folder / "server.cnf"
        extensions.write_text(
            f"subjectAltName={alternatives}\n[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index.txt\n"
            f"rand_serial=yes\ndefault_md=sha256\nnew_certs_dir={folder}\npolicy=any\n[any]\nCN=supplied\nO=optional\n"
        )
        (folder / "index.txt").touch()
        openssl("req", "-new", "-newkey", "rsa:2048", *key, "-out", request, "-subj", name)
        own: list[str | Path] = [
            "-selfsign",
            "-keyfile",
            made.key,
            "-in",
            request,
            "-out",
            made.certificate,
            "-config",
            extensions,
        ]
        openssl("ca", "-batch", *own, "-startdate", days[0], "-enddate", days[1], "-extfile", extensions)
    return made


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=TIMEOUT_S)


@contextmanager
def guarded_postgres(
    *rules: str, certificate: ServerCertificate | None = None, **settings: str
) -> Iterator[PostgresServer]:
    """Run a server with these lines of `pg_hba.conf` behind one that lets `postgres` in, and with TLS if it has one."""
    with TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        server = new_server(folder, **settings)
        rules_file = folder / "pg_hba.conf"
        rules_file.write_text("\n".join(["local all all trust", TRUSTED, *rules, ""]))
        rules_file.chmod(0o644)
        server.settings["hba_file"] = str(rules_file)
        if certificate is not None:
            server.settings |= {"ssl": "on", **_files_of_server(folder, certificate)}
        server.start()
        try:
            yield server
        finally:
            server.crash()


def _files_of_server(folder: Path, made: ServerCertificate) -> dict[str, str]:
    """Copy a certificate to where the server may read it: its key must be the server's own."""
    copies, owner = ServerCertificate(folder / "server.pem", folder / "server.key"), server_owner()
    for file, copy in zip(made, copies, strict=True):
        shutil.copyfile(file, copy)
        copy.chmod(0o600)
        if owner is not None:
            os.chown(copy, owner.pw_uid, owner.pw_gid)
    return {"ssl_cert_file": str(copies.certificate), "ssl_key_file": str(copies.key)}
