"""`target.role_arn`: the manifest's role, assumed with the user's credentials, refreshed by itself."""

from aiobotocore.credentials import AioAssumeRoleCredentialFetcher, AioDeferredRefreshableCredentials
from aiobotocore.session import AioSession

from batch_upload.errors import AccessFault

SESSION_NAME = "batch-upload"


async def assume_role(session: AioSession, role_arn: str) -> None:
    """Make every client of this session act in the role. The role is assumed at the first request."""
    source = await session.get_credentials()
    if source is None:
        raise AccessFault(
            f"no AWS credentials to assume `{role_arn}` with",
            code="NoCredentialsError",
            hint="`aws configure`, `aws sso login` or `--profile NAME`",
        )
    fetcher = AioAssumeRoleCredentialFetcher(
        client_creator=session.create_client,
        source_credentials=source,
        role_arn=role_arn,
        extra_args={"RoleSessionName": SESSION_NAME},
    )
    # botocore has no public way to hand a session credentials that refresh themselves
    session._credentials = AioDeferredRefreshableCredentials(
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
