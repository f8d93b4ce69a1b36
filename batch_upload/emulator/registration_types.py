"""The types of registration that the emulator knows, with the fields of their forms.

The paths, kinds and lengths are those that public sources show. They are parts of the real forms, which AWS changes and
documents only through DescribeRegistrationFieldDefinitions. Options of a SELECT are those that the sources name.

- US_TOLL_FREE_REGISTRATION: the AWS guide "Create a registration using the AWS CLI", which shows `optInImage`,
  `monthlyMessageVolume` and `companyName` in full, and scripts of people who filled in the form.
- US_TEN_DLC_BRAND_REGISTRATION and US_TEN_DLC_CAMPAIGN_REGISTRATION: a sample of Amazon that automates 10DLC (MIT-0).
- ID_SENDER_ID_REGISTRATION and GB_SENDER_ID_REGISTRATION: the AWS blog about automating sender ID registrations. It
  gives fields of the United Kingdom without the name of the type, which is inferred from those of Indonesia and India.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass as validated

from batch_upload.emulator.limits import STRICT_JSON

NOT_BLANK = r"^(?=\s*\S)[\s\S]+$"
"""The pattern of a text, as the guide shows it."""


class FieldKind(StrEnum):
    """`FieldType` of the model."""

    SELECT = "SELECT"
    TEXT = "TEXT"
    ATTACHMENT = "ATTACHMENT"


class Requirement(StrEnum):
    """`FieldRequirement` of the model."""

    REQUIRED = "REQUIRED"
    CONDITIONAL = "CONDITIONAL"
    OPTIONAL = "OPTIONAL"


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """A field of a form. `shortest` and `longest` are the length of a TEXT; a SELECT takes 1 to `most` of `options`."""

    path: str
    title: str
    kind: FieldKind
    requirement: Requirement
    shortest: int = 1
    longest: int = 100
    options: tuple[str, ...] = ()
    most: int = 1

    @property
    def section(self) -> str:
        return self.path.partition(".")[0]

    def to_members(self) -> dict[str, Any]:
        """Return the field as DescribeRegistrationFieldDefinitions answers it."""
        members: dict[str, Any] = {
            "SectionPath": self.section,
            "FieldPath": self.path,
            "FieldType": self.kind.value,
            "FieldRequirement": self.requirement.value,
            "DisplayHints": {"Title": self.title, "ShortDescription": self.title},
        }
        if self.kind is FieldKind.TEXT:
            lengths = {"MinLength": self.shortest, "MaxLength": self.longest}
            members["TextValidation"] = {**lengths, "Pattern": NOT_BLANK}
        if self.kind is FieldKind.SELECT:
            members["SelectValidation"] = {"MinChoices": 1, "MaxChoices": self.most, "Options": list(self.options)}
        return members

    def text_error(self, text: str) -> str | None:
        """Return what is wrong with the text of a TEXT, or None."""
        if not self.shortest <= len(text) <= self.longest:
            return f"must have {self.shortest} to {self.longest} characters"
        if not re.search(NOT_BLANK, text):
            return f"must satisfy the pattern {NOT_BLANK}"
        # JSON can hold half of a surrogate pair, which no text can.
        return "must be Unicode text" if any("\ud800" <= character <= "\udfff" for character in text) else None

    def choices_error(self, choices: tuple[str, ...]) -> str | None:
        """Return what is wrong with the choices of a SELECT, or None."""
        if not 1 <= len(choices) <= self.most:
            return f"must have 1 to {self.most} choices"
        unknown = [choice for choice in choices if choice not in self.options]
        return f"must be among {', '.join(self.options)}" if unknown else None


def _text_field(
    path: str,
    title: str,
    requirement: Requirement = Requirement.REQUIRED,
    *,
    shortest: int = 1,
    longest: int = 100,
) -> FieldDefinition:
    return FieldDefinition(path, title, FieldKind.TEXT, requirement, shortest=shortest, longest=longest)


def _select_field(
    path: str, title: str, *options: str, requirement: Requirement = Requirement.REQUIRED, most: int = 1
) -> FieldDefinition:
    return FieldDefinition(path, title, FieldKind.SELECT, requirement, options=options, most=most)


def _attachment_field(path: str, title: str, requirement: Requirement) -> FieldDefinition:
    return FieldDefinition(path, title, FieldKind.ATTACHMENT, requirement)


_REQUIRED, _CONDITIONAL, _OPTIONAL = Requirement.REQUIRED, Requirement.CONDITIONAL, Requirement.OPTIONAL
_VOLUME = _select_field(
    "messagingUseCase.monthlyMessageVolume",
    "Monthly SMS volume",
    *("10", "100", "1,000", "10,000", "100,000", "250,000", "500,000", "750,000"),
    *("1,000,000", "5,000,000", "10,000,000+"),
)
_COMPANY = _text_field("companyInfo.companyName", "Company name")
_USE_CASES = (
    "ACCOUNT_NOTIFICATION",
    "CUSTOMER_CARE",
    "DELIVERY_NOTIFICATION",
    "MARKETING",
    "TWO_FACTOR_AUTHENTICATION",
)
_LETTER = "Letter of authorization image"

_US_TOLL_FREE_FIELDS = (
    _COMPANY,
    _text_field("companyInfo.website", "Company website"),
    _text_field("contactInfo.supportEmail", "Support email"),
    _VOLUME,
    _select_field(
        "messagingUseCase.useCaseCategory", "Use case category", "ACCOUNT_NOTIFICATIONS", "TWO_FACTOR_AUTHENTICATION"
    ),
    _text_field("messagingUseCase.useCaseDetails", "Use case details", longest=500),
    _select_field("messagingUseCase.optInType", "Opt-in workflow type", "DIGITAL_FORM", "VERBAL"),
    _text_field("messagingUseCase.optInDescription", "Opt-in workflow description", longest=1_500),
    _attachment_field("messagingUseCase.optInImage", "Opt-in workflow image", _REQUIRED),
    _text_field("messagingUseCase.privacyPolicyUrl", "Privacy policy URL"),
    _text_field("messagingUseCase.termsAndConditionsUrl", "Terms and conditions URL"),
    _text_field("messageSamples.messageSample1", "Message sample 1", longest=306),
    _text_field("messageSamples.messageSample2", "Message sample 2", _OPTIONAL, longest=306),
    _text_field("messageSamples.messageSample3", "Message sample 3", _OPTIONAL, longest=306),
)
_US_TEN_DLC_BRAND_FIELDS = (
    _COMPANY,
    _text_field("companyInfo.taxIdIssuingCountry", "Country of tax registration", shortest=2, longest=2),
    _text_field("companyInfo.taxId", "Tax ID", longest=21),
    _select_field("companyInfo.legalType", "Legal form", "PRIVATE_PROFIT", "PUBLIC_PROFIT", "NON_PROFIT", "GOVERNMENT"),
    _text_field("companyInfo.stockSymbol", "Stock symbol", _CONDITIONAL, longest=10),
    _text_field("contactInfo.dbaName", "Brand name"),
    _text_field("contactInfo.website", "Company website"),
    _text_field("contactInfo.supportEmail", "Support email"),
    _text_field("contactInfo.supportPhoneNumber", "Support phone number", longest=30),
)
_US_TEN_DLC_CAMPAIGN_FIELDS = (
    _text_field("campaignInfo.campaignName", "Campaign description", shortest=40, longest=2_048),
    _text_field("campaignInfo.termsAndConditionsLink", "Terms and conditions URL", _OPTIONAL, longest=255),
    _attachment_field("campaignInfo.termsAndConditionsFile", "Terms and conditions", _OPTIONAL),
    _text_field("campaignInfo.privacyPolicyLink", "Privacy policy URL", _OPTIONAL, longest=255),
    _attachment_field("campaignInfo.privacyPolicyFile", "Privacy policy", _OPTIONAL),
    _text_field("campaignInfo.optInWorkflow", "Opt-in workflow", shortest=40, longest=2_048),
    _attachment_field("campaignInfo.optInScreenshot", "Opt-in screenshot", _OPTIONAL),
    _text_field("campaignInfo.helpMessage", "HELP message", shortest=20, longest=255),
    _text_field("campaignInfo.stopMessage", "STOP message", shortest=20, longest=255),
    _select_field(
        "campaignCapabilities.numberCapabilities", "Number capabilities", "SMS", "SMS and MMS", "SMS and VOICE"
    ),
    _select_field("campaignUseCase.useCase", "Use case", *_USE_CASES, "LOW_VOLUME", "MIXED"),
    _select_field("campaignUseCase.subUseCases", "Sub use cases", *_USE_CASES, requirement=_OPTIONAL, most=5),
    _select_field("campaignUseCase.subscriberOptIn", "Subscriber opt-in", "Yes"),
    _text_field("messageSamples.messageSample1", "Message sample 1", shortest=20, longest=1_024),
)
_ID_SENDER_ID_FIELDS = (
    _text_field("senderIdInfo.senderId", "Sender ID", shortest=3, longest=11),
    _attachment_field("senderIdInfo.proofOfSenderIdConnection", "Proof of the connection to the sender ID", _OPTIONAL),
    _COMPANY,
    _text_field("companyInfo.companyId", "Company ID", longest=30),
    _text_field("companyAddress.isoCountryCode", "Country", shortest=2, longest=2),
    _VOLUME,
    _text_field("messageSamples.messageSample1", "Message sample 1", longest=306),
    _attachment_field("idSidSpecificInfo.letterOfAuthorization1", f"{_LETTER} for Telkomsel", _CONDITIONAL),
    _attachment_field("idSidSpecificInfo.letterOfAuthorization2", f"{_LETTER} for IOH", _CONDITIONAL),
    _attachment_field("idSidSpecificInfo.letterOfAuthorization3", f"{_LETTER} for XL Axiata", _REQUIRED),
    _attachment_field("idSidSpecificInfo.letterOfAuthorization4", f"{_LETTER} for Smartfren", _CONDITIONAL),
    _attachment_field("idSidSpecificInfo.regulatoryAgencyLicense", "License of the regulatory agency", _OPTIONAL),
)
_GB_SENDER_ID_FIELDS = (
    _text_field("senderIdInfo.senderId", "Sender ID", shortest=3, longest=11),
    _text_field("senderIdInfo.senderIdDescription", "Sender ID description", _OPTIONAL, longest=500),
    _attachment_field("senderIdInfo.letterOfAuthorization", _LETTER, _CONDITIONAL),
    _COMPANY,
    _VOLUME,
)

REGISTRATION_TYPES: Mapping[str, Mapping[str, FieldDefinition]] = {
    name: {definition.path: definition for definition in definitions}
    for name, definitions in {
        "US_TOLL_FREE_REGISTRATION": _US_TOLL_FREE_FIELDS,
        "US_TEN_DLC_BRAND_REGISTRATION": _US_TEN_DLC_BRAND_FIELDS,
        "US_TEN_DLC_CAMPAIGN_REGISTRATION": _US_TEN_DLC_CAMPAIGN_FIELDS,
        "ID_SENDER_ID_REGISTRATION": _ID_SENDER_ID_FIELDS,
        "GB_SENDER_ID_REGISTRATION": _GB_SENDER_ID_FIELDS,
    }.items()
}
"""The fields of each type by their paths, in the order of the form."""
DEFAULT_TYPE = "US_TOLL_FREE_REGISTRATION"
"""Of a registration whose fields belong to no type that is emulated."""
LIKENESS_MIN = 0.8
"""How like two paths are, from 0 to 1 (`SequenceMatcher.ratio`), if one is probably the other misspelled."""


def type_that_takes(paths: Iterable[str]) -> str | None:
    """Return the first type whose fields of these paths all take attachments; None if there is none."""
    wanted = set(paths)
    return next((name for name in REGISTRATION_TYPES if wanted <= attachment_paths(name)), None)


def type_that_nearly_takes(paths: Iterable[str]) -> str:
    """Return the type with the field for attachments that is most like one of these paths, as if that were misspelled.

    It is DEFAULT_TYPE if no field is as like as LIKENESS_MIN.
    """
    wanted = [path.lower() for path in paths]
    most, found = LIKENESS_MIN, DEFAULT_TYPE
    for name in REGISTRATION_TYPES:
        known = [path.lower() for path in attachment_paths(name)]
        likeness = max((SequenceMatcher(None, a, b).ratio() for a in wanted for b in known), default=0.0)
        if likeness > most:
            most, found = likeness, name
    return found


def attachment_paths(registration_type: str) -> set[str]:
    """Return the paths of the fields of a type that take attachments."""
    definitions = REGISTRATION_TYPES[registration_type].values()
    return {definition.path for definition in definitions if definition.kind is FieldKind.ATTACHMENT}


def _known_type(name: str) -> str:
    if name not in REGISTRATION_TYPES:
        raise ValueError(f"`{name}` is not a type of registration that is emulated")
    return name


RegistrationTypeName = Annotated[str, AfterValidator(_known_type)]
RegistrationId = Annotated[str, Field(pattern="^registration-[0-9A-Za-z_-]+$", max_length=100)]


@validated(frozen=True, slots=True, config=STRICT_JSON)
class PreloadedRegistrations:
    """Registrations of one type that an account and Region begins with."""

    type: RegistrationTypeName
    """their type"""
    count: int = Field(default=1, ge=0)
    """how many; their ids are those of `preloaded_registration_id`"""
    id: RegistrationId | None = None
    """the id of the only one, the same in every account and Region to which the setting applies"""

    def __post_init__(self) -> None:
        if self.id is not None and self.count != 1:
            raise ValueError("`id` excludes `count`")

    def ids(self, account: str, region: str) -> list[str]:
        """Return their ids in an account and Region."""
        if self.id is not None:
            return [self.id]
        numbers = range(1, self.count + 1)
        return [preloaded_registration_id(account, region, self.type, number) for number in numbers]


def preloaded_registration_id(account: str, region: str, registration_type: str, number: int) -> str:
    """Return the id of a preloaded registration; `number` counts from 1. Each account and Region has others."""
    name = f"{account}/{region}/{registration_type}/{number}"
    return f"registration-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
