"""Built-in forms: what AWS documents for the attachments of its registrations, as data.

All numbers were read in stored copies of the pages named as `source`; a form without pixels is one whose page names
none. Forms are checked before an upload; the service itself takes any PDF, PNG or JPEG of at most 5 MiB.
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from batch_upload.document import EXTENSIONS
from batch_upload.escape import quoted
from batch_upload.form import Form
from batch_upload.model import KB, ContentType

_PDF, _PNG, _JPEG = ContentType.PDF, ContentType.PNG, ContentType.JPEG
_ALL = frozenset(ContentType)
_PICTURES = frozenset({_PNG, _JPEG})
_READ_ON = "2026-11-28"

_SMS_GUIDE = "https://docs.aws.amazon.com/sms-voice/latest/userguide"
_TOLL_FREE = f"{_SMS_GUIDE}/registrations-tfn-register.html"
_CAMPAIGN = f"{_SMS_GUIDE}/registrations-10dlc-register-campaign.html"
_SENDER_ID = f"{_SMS_GUIDE}/registrations-philippines.html"
_AUSTRALIA = f"{_SMS_GUIDE}/registrations-australia.html"
_SINGAPORE = "https://docs.aws.amazon.com/end-user-messaging/latest/userguide/nx-country-reg-sg.html"
_RCS_DENIALS = f"{_SMS_GUIDE}/rcs-compliance-denial-reasons.html"

BUILT_IN: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form(
                "us-toll-free-opt-in",
                types=frozenset({_PNG}),
                max_size_bytes=400 * KB,
                about="US toll-free number: opt-in workflow image",
                source=_TOLL_FREE,
                date=_READ_ON,
            ),
            Form(
                "us-10dlc-opt-in",
                types=_ALL,
                max_size_bytes=500 * KB,
                about="US 10DLC campaign: opt-in screenshot",
                source=_CAMPAIGN,
                date=_READ_ON,
            ),
            Form(
                "us-10dlc-policy",
                types=_ALL,
                max_size_bytes=500 * KB,
                about="US 10DLC campaign: terms and conditions, or privacy policy",
                source=_CAMPAIGN,
                date=_READ_ON,
            ),
            Form(
                "us-10dlc-mms-sample",
                types=_PICTURES,
                max_size_bytes=500 * KB,
                about="US 10DLC campaign: sample of an MMS picture",
                source=_CAMPAIGN,
                date=_READ_ON,
            ),
            Form(
                "sender-id-letter",
                types=_ALL,
                max_size_bytes=500 * KB,
                about="sender ID: letter of authorization (not for Singapore)",
                source=_SENDER_ID,
                date=_READ_ON,
            ),
            Form(
                "sender-id-document",
                types=_ALL,
                max_size_bytes=500 * KB,
                about="sender ID: registration, licence, photo ID, or proof of the brand",
                source=_AUSTRALIA,
                date=_READ_ON,
            ),
            Form(
                "singapore-sender-id-letter",
                types=frozenset({_PNG}),
                max_size_bytes=400 * KB,
                about="Singapore sender ID: image of the letter of authorization",
                source=_SINGAPORE,
                date=_READ_ON,
            ),
            Form(
                "rcs-logo",
                types=_PICTURES,
                max_size_bytes=50 * KB,
                pixels=(224, 224),
                about="RCS agent: logo (best a PNG with transparency)",
                source=_RCS_DENIALS,
                date=_READ_ON,
            ),
            Form(
                "rcs-banner",
                types=_PICTURES,
                max_size_bytes=200 * KB,
                pixels=(1_440, 448),
                about="RCS agent: banner image",
                source=_RCS_DENIALS,
                date=_READ_ON,
            ),
        )
    }
)
"""The built-in forms by name, in the order in which they are shown."""

FORM_OF_FIELD: Mapping[str, str] = MappingProxyType(
    {
        "messagingUseCase.optInImage": "us-toll-free-opt-in",
        "campaignInfo.optInScreenshot": "us-10dlc-opt-in",
        "campaignInfo.termsAndConditionsFile": "us-10dlc-policy",
        "campaignInfo.privacyPolicyFile": "us-10dlc-policy",
        "idSidSpecificInfo.letterOfAuthorization1": "sender-id-letter",
        "idSidSpecificInfo.letterOfAuthorization2": "sender-id-letter",
        "idSidSpecificInfo.letterOfAuthorization3": "sender-id-letter",
        "idSidSpecificInfo.letterOfAuthorization4": "sender-id-letter",
    }
)
"""The built-in form of a field of a registration, where its path is that of one type of registration alone.

The paths are those of the AWS guide "Create a registration using the AWS CLI" (toll-free), of an AWS sample that
automates 10DLC, and of the AWS blog about sender ID registrations (Indonesia). `senderIdInfo.letterOfAuthorization` is
left out: several countries may have it, and Singapore takes less than others.
"""

TYPES_BY_NAME: Mapping[str, ContentType] = MappingProxyType(
    {extension.removeprefix("."): each for each, extensions in EXTENSIONS.items() for extension in extensions}
)
"""The types by the names that a manifest has for them: `pdf`, `png`, `jpg`, `jpeg`."""


def unknown_form(name: str, forms: Collection[str], *, max_length: int = 80) -> str:
    """Return the message that `name` is none of `forms`, with the one that is probably meant."""
    close = get_close_matches(name[:64].lower().replace("_", "-"), forms, n=1)
    advice = f"did you mean `{close[0]}`?" if close else "`batch-upload manifest forms` lists the built-in ones"
    return f"there is no form {quoted(name, max_length=max_length)}: {advice}"
