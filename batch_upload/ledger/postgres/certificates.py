"""The certificate of a database's server: what libpq found wrong with it, and until when it is good.

libpq says `certificate verify failed` and no more. So the handshake is made once more here, with Python's TLS.
"""

import socket
import ssl
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from batch_upload.ledger.postgres.parameters import PORT, PostgresParameters
from batch_upload.records import Certificate

HANDSHAKE_LIMIT_S = 3.0
"""For connecting and for each answer."""
_TLS_REQUEST = struct.pack("!ii", 8, 80877103)
"""The SSLRequest of the protocol (PostgreSQL documentation, "Message Formats"); a server with TLS answers `S`."""


def certificate_of(parameters: PostgresParameters) -> Certificate | None:
    """Return the certificate of the first server that is named; None for one without TLS, or over a Unix socket.

    Nothing but the handshake is sent. Raises ssl.SSLCertVerificationError for one that does not verify, and OSError.
    """
    host, address, port = _first_server(parameters)
    if not address or address.startswith(("/", "@")):
        return None
    with socket.create_connection((address, port), HANDSHAKE_LIMIT_S) as connection:
        connection.sendall(_TLS_REQUEST)
        if connection.recv(1) != b"S":
            return None
        with _context(parameters).wrap_socket(connection, server_hostname=host) as wrapped:
            found = wrapped.getpeercert() or {}
    parts: Iterable[Iterable[tuple[str, str]]] = found.get("issuer", ())  # type: ignore[assignment]
    names = dict(chain.from_iterable(parts))
    issuer = names.get("commonName") or names.get("organizationName") or "a nameless authority"
    return Certificate(str(issuer), datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC))


def wrong_with_certificate(parameters: PostgresParameters) -> str:
    """Return why the certificate does not verify, in words of OpenSSL; empty if it does or that cannot be found out."""
    try:
        certificate_of(parameters)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError:
        pass
    return ""


def _first_server(parameters: PostgresParameters) -> tuple[str, str, int]:
    """Return name, address and port of the first server."""
    host = parameters.fixed.get("host", "").split(",")[0]
    address = parameters.fixed.get("hostaddr", "").split(",")[0] or host
    return host or address, address, int(parameters.fixed.get("port", PORT).split(",")[0] or PORT)


def _context(parameters: PostgresParameters) -> ssl.SSLContext:
    file = parameters.fixed.get("sslrootcert", "system")
    return ssl.create_default_context(cafile=file if Path(file).exists() else None)
