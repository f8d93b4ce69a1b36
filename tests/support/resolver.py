"""A command in a network of its own, whose only name server is on loopback and says what a test wants it to say.

Run as `unshare --map-root-user --net --mount python resolver.py RCODE COMMAND…`: see `resolving`. RCODE is the
answer to every question (RFC 1035, 4.1.1): 3 for a name that does not exist, or `none` where nothing listens.
"""

import fcntl
import socket
import struct
import subprocess
import sys
import tempfile
import threading

NO_SUCH_NAME = "3"
NO_SERVER = "none"
_SET_FLAGS, _UP = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP: netdevice(7)
_PORT = 53


def resolving(answer: str) -> tuple[str, ...]:
    """What a command is started through so that names resolve like this for it. It needs `unshare` and `mount`."""
    return ("unshare", "--map-root-user", "--net", "--mount", sys.executable, __file__, answer)


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def _serve(server: socket.socket, rcode: int) -> None:
    """Answer every question with its own text and this code."""
    while True:
        asked, client = server.recvfrom(4_096)
        end_of_name = asked.index(b"\0", 12)
        question = asked[12 : end_of_name + 5]
        server.sendto(asked[:2] + struct.pack("!5H", 0x8180 | rcode, 1, 0, 0, 0) + question, client)


def _main(answer: str, *command: str) -> int:
    _bring_loopback_up()
    with tempfile.NamedTemporaryFile("w") as resolv_conf, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        resolv_conf.write("nameserver 127.0.0.1\n")
        resolv_conf.flush()
        subprocess.run(["mount", "--bind", resolv_conf.name, "/etc/resolv.conf"], check=True)
        if answer != NO_SERVER:
            server.bind(("127.0.0.1", _PORT))
            threading.Thread(target=_serve, args=(server, int(answer)), daemon=True).start()
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
