"""What `--help` adds below the flags: examples of each verb, and the exit codes."""

from batch_upload.errors import ExitCode
from batch_upload.summary import EXIT_REASONS

EXAMPLES = {
    "upload": (
        "batch-upload upload june.yaml",
        "batch-upload upload june.yaml --only failed --max-failures 10%",
        "batch-upload upload june.yaml --quiet --deadline 50m",
    ),
    "plan": ("batch-upload plan june.yaml", "batch-upload plan june.yaml --offline --detailed-exitcode"),
    "validate": ("batch-upload validate june.yaml",),
    "status": ("batch-upload status june.yaml", "batch-upload status june.ledger"),
    "why": ("batch-upload why june.yaml acme/loa", "batch-upload why june.ledger acme/loa"),
    "report": (
        "batch-upload report june.yaml -o june.csv",
        "batch-upload report june.yaml --all -o everything.csv",
        "batch-upload report june.yaml --format manifest --only failed -o again.yaml",
        "batch-upload report june.ledger --format csv-excel -o june.csv",
    ),
    "verify": ("batch-upload verify june.yaml", "batch-upload verify june.yaml --tags"),
    "reconcile": ("batch-upload reconcile june.yaml",),
    "watch": ("batch-upload watch june.yaml",),
    "doctor": ("batch-upload doctor", "batch-upload doctor june.yaml --profile acme"),
    "prune": ("batch-upload prune june.yaml", "batch-upload prune june.yaml --yes --max-deletes 10"),
    "emulator": ("batch-upload emulator --port 4566",),
    "manifest new": (
        "batch-upload manifest new customers -o june.yaml --tag 'Customer={parent}'",
        "batch-upload manifest new customers.csv -o june.yaml",
        "batch-upload manifest new logos -o logos.yaml --form rcs-logo",
        "batch-upload manifest new customers.csv -o june.yaml --bind messagingUseCase.optInImage",
    ),
    "manifest forms": ("batch-upload manifest forms", "batch-upload manifest forms rcs-logo"),
    "targets discover": (
        "batch-upload targets discover --role uploader --region us-east-1 -o accounts.yaml",
        "batch-upload targets discover --role uploader --ou ou-ab12-11111111 --profile management -o accounts.yaml",
    ),
    "fleet upload": ("batch-upload fleet upload june.yaml", "batch-upload fleet upload june.yaml --no-wait"),
    "fleet worker": ("batch-upload fleet worker --ledger postgresql://db.internal/batch_upload",),
    "fleet status": ("batch-upload fleet status june.yaml",),
    "fleet schedule": (
        "batch-upload fleet schedule june.yaml '0 3 * * *'",
        "batch-upload fleet schedule june.yaml --remove",
        "batch-upload fleet schedule --ledger postgresql://db.internal/batch_upload",
    ),
    "ledger migrate": ("batch-upload ledger migrate postgresql://batch_upload_owner@db.internal/batch_upload",),
    "manifest schema": ("batch-upload manifest schema > manifest.schema.json",),
}


_EXIT_GROUPS = (
    ("", range(3)),
    ("with `plan --detailed-exitcode`: ", range(3, 10)),
    ("10-19, the same command again will do: ", range(10, 20)),
    ("20-29, a person must act: ", range(20, 30)),
    ("stopped by a signal: ", range(128, 160)),
)


def exit_codes_text() -> str:
    """Return every exit code with its meaning, a paragraph for each kind."""
    lines = [
        title + " | ".join(f"{code} {EXIT_REASONS[code]}" for code in ExitCode if code in codes)
        for title, codes in _EXIT_GROUPS
    ]
    return "\n\n".join(["exit codes:", *lines])


def epilog(verb: str, after: str = "") -> str:
    """Return what is printed below the flags of a verb: its examples, a line each, then `after`."""
    examples = EXAMPLES[verb]
    title = "example:" if len(examples) == 1 else "examples:"
    # `\b` keeps lines as they are
    lines = "\n".join(["\b", *(f"  {each}" for each in examples)])
    return "\n\n".join(text for text in (title, lines, after) if text)
