"""An example or two of each verb, for `--help`: what people run, not every flag there is."""

EXAMPLES = {
    "upload": (
        "batch-upload upload june.yaml",
        "batch-upload upload june.yaml --only failed --max-failures 10%",
        "batch-upload upload june.yaml --quiet --deadline 50m",
    ),
    "plan": ("batch-upload plan june.yaml", "batch-upload plan june.yaml --offline --detailed-exitcode"),
    "validate": ("batch-upload validate june.yaml",),
    "status": ("batch-upload status june.yaml",),
    "why": ("batch-upload why june.yaml acme/loa",),
    "report": (
        "batch-upload report june.yaml -o june.csv",
        "batch-upload report june.yaml --all -o everything.csv",
        "batch-upload report june.yaml --format manifest --only failed -o again.yaml",
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
    ),
    "manifest schema": ("batch-upload manifest schema > manifest.schema.json",),
}


def epilog(verb: str, after: str = "") -> str:
    """What stands below the flags of a verb: its examples, a line each, then `after`."""
    examples = EXAMPLES[verb]
    title = "example:" if len(examples) == 1 else "examples:"
    # `\b` keeps lines as they are
    lines = "\n".join(["\b", *(f"  {each}" for each in examples)])
    return "\n\n".join(text for text in (title, lines, after) if text)
