"""The use cases as a library."""

from batch_upload.ledger_address import sign_tokens_with


def _database_token(host: str, port: int, user: str, region: str) -> str:
    from batch_upload.service.database_token import database_token  # the SDK: heavy

    return database_token(host, port, user, region)


sign_tokens_with(_database_token)
