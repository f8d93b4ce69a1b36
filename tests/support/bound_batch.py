"""A batch whose documents are put into the fields of registrations, and these registrations at the emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.support.batches import pdf
from tests.support.command import Result
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

REGION = "us-east-1"
TOLL_FREE, OPT_IN = "US_TOLL_FREE_REGISTRATION", "messagingUseCase.optInImage"
CAMPAIGN = "US_TEN_DLC_CAMPAIGN_REGISTRATION"
TERMS, PRIVACY = "campaignInfo.termsAndConditionsFile", "campaignInfo.privacyPolicyFile"
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class BoundBatch:
    """A manifest `june.yaml` in `folder`."""

    folder: Path
    endpoint: Endpoint
    process: EmulatorProcess
    command: Preloaded

    def registration(self, kind: str = TOLL_FREE) -> str:
        """Make a registration of the test's account, and return its id."""
        made = f"registration-{next(_NUMBERS):06d}"
        self.process.plant_registration(kind, region=REGION, account=self.endpoint.account, registration_id=made)
        return made

    def write(self, binds: Mapping[str, tuple[str, str] | None]) -> None:
        """Write the manifest with a line for each document from line 6 on, and the documents that are not there yet."""
        lines = ["version: 1", "batch: bound", "defaults:", "  check: bytes", "attachments:"]
        for name, bind in binds.items():
            path = self.folder / f"{name}.pdf"
            if not path.exists():
                path.write_bytes(pdf(f"document {name}"))
            bound = "" if bind is None else f", bind: {{registration: {bind[0]}, field: {bind[1]}}}"
            lines.append(f"  - {{file: {name}.pdf, id: {name}{bound}}}")
        (self.folder / "june.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, verb: str, *flags: str, json: bool = True) -> Result:
        """Run a verb on the manifest, with `--json` unless told."""
        shown = ("--json",) if json else ()
        return self.command.run(verb, "june.yaml", *flags, *shown, cwd=self.folder, env=self.endpoint.env)

    def said(self, verb: str, *flags: str) -> str:
        """Return what a verb prints for people."""
        ended = self.run(verb, *flags, json=False)
        return ended.stdout + ended.stderr

    def held(self, registration: str, *, version: int | None = None) -> dict[str, str]:
        """Return the attachments in the fields of a version of a registration, the current one unless told."""
        (found,) = [each for each in self.process.registrations() if each["id"] == registration]
        wanted = version or found["current_version"]
        (values,) = [each["values"] for each in found["versions"] if each["version"] == wanted]
        return {path: value["RegistrationAttachmentId"] for path, value in values.items()}
