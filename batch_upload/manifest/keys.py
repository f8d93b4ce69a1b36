"""The keys of a manifest."""

KEYS: dict[str, tuple[str, ...]] = {
    "the manifest": ("version", "ledger", "part_of", "batch", "target", "targets", "defaults", "forms", "attachments"),
    "`target`": ("region", "account", "profile", "role_arn"),
    "`defaults`": ("tags", "max_size", "generation", "identity_tag", "target", "exclude", "min_age", "form", "check"),
    "an entry": ("id", "file", "glob", "url", "tags", "generation", "max_size", "target",
                 "exclude", "optional", "min_age", "form", "table", "sheet", "bind"),
    "`bind`": ("registration", "field"),
    "a form": ("types", "max_size", "pixels", "min_pixels"),
    "`targets`": ("defaults", "from", "list"),
    "`defaults` of `targets`": ("role_arn", "external_id", "profile", "regions", "groups", "vars"),
    "a target": ("name", "account", "regions", "role_arn", "external_id", "profile", "groups", "vars"),
}  # fmt: skip
"""The keys of each mapping, by its name in messages."""
KEYS_OF_ENTRIES = ("the manifest", "`target`", "`defaults`", "an entry", "`bind`", "a form")
"""The mappings that every manifest may have."""
