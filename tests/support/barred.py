"""Surroundings that bar the way to AWS: a home, variables, and servers on loopback that stand in between."""

import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.support.command import TIMEOUT_S
from tests.support.resolver import NO_SUCH_NAME, resolving
from tests.support.scheduled import require

PROFILE = "registrations"
"""As in `deploy/crontab`."""
ISSUER = "Example Firewall CA"
SECRET = "hunter2"
ROLE = "arn:aws:iam::123456789012:role/uploader"
KEYS = "aws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = not-a-secret\n"


@dataclass(slots=True)
class Between:
    """A server that gives one answer to everything, CONNECT too."""

    url: str
    asked: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def answering(status: int, body: str = "", *, kind: str = "text/xml", tls: Path | None = None) -> Iterator[Between]:
    """Answer so on loopback until the end of the context. `tls`: a file with key and certificate."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            between.asked.append(self.command)
            said = body.encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_CONNECT = do_POST  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Nothing to stderr."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A handshake that the other side gives up is what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    between = Between(f"{scheme}://{host}:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield between
    finally:
        server.shutdown()
        server.server_close()
        thread.join(TIMEOUT_S)


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for `localhost`, with its key in the same file, good for two days."""
    require("openssl")
    made, key = folder / "between.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", made, "-days", "2",
         "-subj", f"/O=Example/CN={ISSUER}", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    made.write_text(made.read_text() + key.read_text())
    return made


def sts_error(code: str, message: str = "no") -> str:
    """A refusal in the form that STS gives it."""
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )


@dataclass(frozen=True, slots=True)
class Home:
    """A home with an AWS configuration, and what else is set."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """What the command is started through."""


@dataclass(frozen=True, slots=True)
class Barred:
    """One way to be barred. `says`: what a person must read; `lay` prepares a home with a service at a URL."""

    name: str
    says: tuple[str, ...]
    lay: Callable[[Path, str], "Iterator[Home]"]


BARRED: list[Barred] = []


def barred(*says: str) -> Callable[[Callable[[Path, str], Iterator[Home]]], None]:
    """Take a generator that lays out one case into the list of all."""

    def take(lay: Callable[[Path, str], Iterator[Home]]) -> None:
        BARRED.append(Barred(lay.__name__.strip("_"), says, lay))

    return take


def write_home(folder: Path, config: str, *, credentials: str = KEYS, endpoint_url: str | None = None) -> Path:
    """A home whose profile has these settings."""
    aws = folder / ".aws"
    aws.mkdir(parents=True, exist_ok=True)
    endpoint = f"endpoint_url = {endpoint_url}\n" if endpoint_url else ""
    region = "" if config.startswith("region") else "region = us-east-1\n"
    (aws / "config").write_text(f"[profile {PROFILE}]\n{region}{endpoint}{config}")
    (aws / "credentials").write_text(f"[{PROFILE}]\n{credentials}" if credentials else "")
    return folder


@barred("the certificate of `localhost` does not verify", ISSUER, "`AWS_CA_BUNDLE`")
def _certificate_of_a_firewall(folder: Path, _: str) -> Iterator[Home]:
    with answering(200, "x", tls=make_certificate(folder)) as between:
        yield Home(write_home(folder, "", endpoint_url=between.url))


@barred("`AWS_CA_BUNDLE` names `/etc/ssl/corp/missing.pem`, which does not exist")
def _bundle_missing(folder: Path, service: str) -> Iterator[Home]:
    yield Home(write_home(folder, "", endpoint_url=service), {"AWS_CA_BUNDLE": "/etc/ssl/corp/missing.pem"})


@barred(f"`ca_bundle` of profile `{PROFILE}` names", "holds no certificate in PEM form")
def _bundle_of_the_profile_is_no_pem(folder: Path, service: str) -> Iterator[Home]:
    bundle = folder / "bundle.der"
    bundle.write_bytes(b"\x30\x82\x01\x00")
    yield Home(write_home(folder, f"ca_bundle = {bundle}\n", endpoint_url=service))


def _proxied(folder: Path, status: int) -> Iterator[Home]:
    with answering(status, "who are you", kind="text/html") as between:
        proxy = f"http://user:{SECRET}@127.0.0.1:{between.port}"
        yield Home(write_home(folder, ""), {"HTTPS_PROXY": proxy})


@barred("the proxy `http://127.0.0.1:", "refuses to connect: 407", "user and password")
def _proxy_wants_a_password(folder: Path, _: str) -> Iterator[Home]:
    yield from _proxied(folder, 407)


@barred("the proxy `http://127.0.0.1:", "refuses to connect: 403")
def _proxy_forbids(folder: Path, _: str) -> Iterator[Home]:
    yield from _proxied(folder, 403)


@barred("the proxy `http://127.0.0.1:", "refuses to connect: 503")
def _proxy_blocks(folder: Path, _: str) -> Iterator[Home]:
    yield from _proxied(folder, 503)


@barred("`HTTPS_PROXY` names the proxy `socks5://127.0.0.1:1080`", "`socks5` proxies cannot be used")
def _proxy_is_socks(folder: Path, _: str) -> Iterator[Home]:
    yield Home(write_home(folder, ""), {"HTTPS_PROXY": f"socks5://user:{SECRET}@127.0.0.1:1080"})


@barred("`us-esat-1` is not among the Regions", "has no address", "did you mean `us-east-1`?")
def _region_misspelt(folder: Path, _: str) -> Iterator[Home]:
    require("unshare")
    yield Home(write_home(folder, "region = us-esat-1\n"), prefix=resolving(NO_SUCH_NAME))


@barred("`us-east-1a` is an Availability Zone", "did you mean `us-east-1`?")
def _region_is_a_zone(folder: Path, service: str) -> Iterator[Home]:
    yield Home(write_home(folder, "", endpoint_url=service), {"AWS_REGION": "us-east-1a"})


@barred("`AWS_WEB_IDENTITY_TOKEN_FILE` names `/var/run/secrets/eks/token`, which does not exist")
def _web_identity_token_missing(folder: Path, service: str) -> Iterator[Home]:
    home = write_home(folder, "", credentials="", endpoint_url=service)
    yield Home(home, {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks/token"})


@barred("`AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` names `/var/run/secrets/pods/token`, which does not exist")
def _pod_identity_token_missing(folder: Path, service: str) -> Iterator[Home]:
    home = write_home(folder, "", credentials="", endpoint_url=service)
    yield Home(
        home,
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/secrets/pods/token",
        },
    )


def _helped(folder: Path, service: str, helper: str) -> Iterator[Home]:
    script = folder / "helper"
    script.write_text(f"#!/bin/sh\n{helper}\n")
    script.chmod(0o755)
    yield Home(write_home(folder, f"credential_process = {script} {SECRET}\n", credentials="", endpoint_url=service))


@barred(f"`credential_process` of profile `{PROFILE}` names `/usr/local/bin/not-there`, which does not exist")
def _helper_missing(folder: Path, service: str) -> Iterator[Home]:
    config = f"credential_process = /usr/local/bin/not-there {SECRET}\n"
    yield Home(write_home(folder, config, credentials="", endpoint_url=service))


@barred(f"`credential_process` of profile `{PROFILE}`", "failed with status 3")
def _helper_fails(folder: Path, service: str) -> Iterator[Home]:
    yield from _helped(folder, service, f"echo password {SECRET} is wrong >&2; exit 3")


@barred(f"`credential_process` of profile `{PROFILE}`", "printed no JSON")
def _helper_prompts(folder: Path, service: str) -> Iterator[Home]:
    yield from _helped(folder, service, "echo Password:")


@barred("the SSO login of profile", f"`aws sso login --profile {PROFILE}`")
def _sso_over(folder: Path, service: str) -> Iterator[Home]:
    config = (
        "sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = uploader\n"
        "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n"
    )
    yield Home(write_home(folder, config, credentials="", endpoint_url=service))


@barred("asks for a code of the MFA device `arn:aws:iam::123456789012:mfa/jane`", "without a terminal")
def _code_wanted(folder: Path, service: str) -> Iterator[Home]:
    config = f"role_arn = {ROLE}\nsource_profile = base\nmfa_serial = arn:aws:iam::123456789012:mfa/jane\n"
    home = write_home(folder, config, credentials="", endpoint_url=service)
    (home / ".aws" / "credentials").write_text(f"[base]\n{KEYS}")
    yield Home(home)


def _refused_by_sts(folder: Path, service: str, answer: str, config: str = "") -> Iterator[Home]:
    with answering(403, answer) as between:
        home = write_home(folder, config, credentials="" if config else KEYS, endpoint_url=service)
        if config:
            (home / ".aws" / "credentials").write_text(f"[base]\n{KEYS}")
        yield Home(home, {"AWS_ENDPOINT_URL_STS": between.url})


@barred("AssumeRole", "`sts:AssumeRole`")
def _role_denied(folder: Path, service: str) -> Iterator[Home]:
    config = f"role_arn = {ROLE}\nsource_profile = base\n"
    yield from _refused_by_sts(folder, service, sts_error("AccessDenied", "not authorized: AssumeRole"), config)


@barred("RegionDisabledException", "enable the Region, or STS in it")
def _sts_not_active(folder: Path, service: str) -> Iterator[Home]:
    yield from _refused_by_sts(folder, service, sts_error("RegionDisabledException"))


@barred("OptInRequired", "enable the Region or the service")
def _account_not_subscribed(folder: Path, service: str) -> Iterator[Home]:
    yield from _refused_by_sts(folder, service, sts_error("OptInRequired"))


@barred("a code that nobody has heard of", "STS refuses to say whose the credentials are")
def _sts_refuses_somehow(folder: Path, service: str) -> Iterator[Home]:
    yield from _refused_by_sts(folder, service, sts_error("BrandNewException", "a code that nobody has heard of"))


@barred("ExpiredToken", "sign in again")
def _keys_expired(folder: Path, service: str) -> Iterator[Home]:
    yield from _refused_by_sts(folder, service, sts_error("ExpiredToken"))


@barred("this machine's clock is 15 min behind", "NTP")
def _clock_behind(folder: Path, service: str) -> Iterator[Home]:
    said = "Signature expired: 20261127T033000Z is now earlier than 20261127T034000Z"
    yield from _refused_by_sts(folder, service, sts_error("SignatureDoesNotMatch", said))


@barred("this machine's clock is 8 min ahead", "NTP")
def _clock_ahead(folder: Path, service: str) -> Iterator[Home]:
    said = (
        "Signature not yet current: 20261127T034800Z is still later than 20261127T034500Z (20261127T034000Z + 5 min.)"
    )
    yield from _refused_by_sts(folder, service, sts_error("InvalidSignatureException", said))


@barred("The config profile (nobody) could not be found", "`aws configure list-profiles`")
def _profile_missing(folder: Path, service: str) -> Iterator[Home]:
    yield Home(write_home(folder, "", endpoint_url=service), {"AWS_PROFILE": "nobody"})


@barred("Unable to parse config file", "byte order mark")
def _configuration_broken(folder: Path, service: str) -> Iterator[Home]:
    home = write_home(folder, "", endpoint_url=service)
    (home / ".aws" / "config").write_text("region = us-east-1\n")
    yield Home(home)
