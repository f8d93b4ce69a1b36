"""Tokens of AWS IAM that databases of RDS and Aurora take in place of a password."""

from types import SimpleNamespace

from botocore.exceptions import BotoCoreError
from botocore.model import ServiceId
from botocore.session import Session
from botocore.signers import RequestSigner, generate_db_auth_token

from batch_upload.errors import LedgerUnusable

_HINT = "`AWS_PROFILE` or the role of this machine must give them; its policy needs `rds-db:connect`"


def database_token(host: str, port: int, user: str, region: str) -> str:
    """Return a token for one user of a database, good for 15 minutes (RDS User Guide, "IAM database authentication").

    It is signed here with the credentials of the AWS configuration. Blocking: fetching those may take requests. Raises
    LedgerUnusable without credentials.
    """
    session = Session()
    try:
        credentials = session.get_credentials()
        if credentials is None:
            raise LedgerUnusable("no AWS credentials to sign the database's token with", hint=_HINT)
        events = session.get_component("event_emitter")
        signer = RequestSigner(ServiceId("rds"), region, "rds-db", "v4", credentials, events)
        # all that botocore's function wants of a client, whose API model would take 0.3 s to load
        client = SimpleNamespace(_request_signer=signer)
        return str(generate_db_auth_token(client, host, port, user, region))
    except BotoCoreError as error:
        raise LedgerUnusable(f"the database's token cannot be signed: {type(error).__name__}", hint=_HINT) from error
