"""The steps by which a ledger comes to be: the tables with their rules and indexes, as SQL.

A step that was released is never changed: the next one is added below it. The texts are not derived from `tables.py`,
so that a step does the same for ever. The first three are in `early_schema.py`.
"""

from batch_upload.ledger.sqlite.early_schema import TIME as _TIME
from batch_upload.ledger.sqlite.early_schema import VERSION_1, VERSION_2, VERSION_3


def _one_of(column: str, *words: str) -> str:
    """A rule as single comparisons: for `IN` SQLite makes a table of the words, anew for each row that changes."""
    return " OR ".join(f"{column} = '{word}'" for word in words)


_STATUS_4 = ("UPLOAD_IN_PROGRESS", "UPLOAD_COMPLETE", "UPLOAD_FAILED", "DELETED")
_KINDS_4 = ("accepted", "throttled", "refused", "no_capacity", "denied", "unknown", "withdrawn")

# The same facts at half the price. Attempts go by their item's number, so that the index of a batch's attempts grows at
# its end; what they tell of an item is kept with it; and the rules are such that SQLite checks them as it goes.
_VERSION_4 = (
    "DROP VIEW known",
    f"""
    CREATE TABLE item_4 (
      item_no               INTEGER PRIMARY KEY,
      lane_id               INTEGER NOT NULL REFERENCES lane,
      client_token          TEXT NOT NULL CHECK (length(client_token) BETWEEN 1 AND 64),
      batch                 TEXT NOT NULL,
      item_id               TEXT NOT NULL,
      source                TEXT NOT NULL,
      content               TEXT NOT NULL CHECK (content GLOB 'sha256:?*' OR content GLOB 'url:?*'),
      tags                  TEXT NOT NULL,
      generation            INTEGER NOT NULL,
      identity_tag          INTEGER NOT NULL CHECK (identity_tag IN (0, 1)),
      size_bytes            INTEGER CHECK (size_bytes >= 0),
      content_type          TEXT,
      current               INTEGER NOT NULL CHECK (current IN (0, 1)),
      state                 TEXT NOT NULL,
      attachment_id         TEXT,
      attachment_arn        TEXT,
      attachment_status     TEXT CHECK ({_one_of("attachment_status", *_STATUS_4)}),
      attachment_created_at TEXT CHECK (attachment_created_at {_TIME}),
      fault_code            TEXT,
      fault_message         TEXT,
      fault_reason          TEXT,
      fault_fields          TEXT,
      fault_resource_id     TEXT,
      attempts              INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
      request_id            TEXT,
      unknown_since         TEXT CHECK (unknown_since {_TIME}),
      last_open_at          TEXT CHECK (last_open_at {_TIME}),
      resume_after          TEXT CHECK (resume_after {_TIME}),
      first_sent_at         TEXT CHECK (first_sent_at {_TIME}),
      completed_at          TEXT CHECK (completed_at {_TIME}),
      enlisted_at           TEXT NOT NULL CHECK (enlisted_at {_TIME}),
      changed_at            TEXT NOT NULL CHECK (changed_at {_TIME}),
      UNIQUE (lane_id, client_token),
      CHECK ((attachment_id IS NULL) = (attachment_arn IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_status IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_created_at IS NULL)),
      CONSTRAINT what_a_state_demands CHECK (CASE state
        WHEN 'pending' THEN attachment_id IS NULL AND unknown_since IS NULL
        WHEN 'sending' THEN attachment_id IS NULL AND unknown_since IS NOT NULL
        WHEN 'processing' THEN attachment_id IS NOT NULL AND unknown_since IS NULL
        WHEN 'complete' THEN attachment_id IS NOT NULL AND unknown_since IS NULL AND completed_at IS NOT NULL
        WHEN 'failed' THEN fault_code IS NOT NULL AND unknown_since IS NULL
        WHEN 'unknown' THEN attachment_id IS NULL AND unknown_since IS NOT NULL
        WHEN 'parked' THEN unknown_since IS NULL
        ELSE 0 END),
      CHECK ((unknown_since IS NULL) = (last_open_at IS NULL)),
      CHECK (resume_after IS NULL OR state = 'parked'),
      CHECK ((attempts = 0) = (first_sent_at IS NULL)),
      CHECK ((fault_code IS NULL) = (fault_message IS NULL)),
      CHECK ((fault_code IS NULL) = (fault_fields IS NULL))
    ) STRICT
    """,
    """
    INSERT INTO item_4
    SELECT item_no, lane_id, client_token, batch, item_id, source, content, tags, generation, identity_tag, size_bytes,
      content_type, current, state, attachment_id, attachment_arn, attachment_status, attachment_created_at,
      fault_code, fault_message, fault_reason, fault_fields, fault_resource_id,
      (SELECT count(*) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.kind IS NOT 'withdrawn'),
      (SELECT outcome.request_id FROM attempt JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.request_id IS NOT NULL
        ORDER BY attempt.number DESC LIMIT 1),
      unknown_since, last_open_at, resume_after,
      (SELECT min(attempt.started_at) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.kind IS NOT 'withdrawn'),
      completed_at, enlisted_at, changed_at
    FROM item ORDER BY item_no
    """,
    f"""
    CREATE TABLE attempt_4 (
      attempt_id       INTEGER PRIMARY KEY,
      item_no          INTEGER NOT NULL REFERENCES item_4 (item_no),
      number           INTEGER NOT NULL CHECK (number >= 1),
      run_no           INTEGER NOT NULL REFERENCES run (run_no),
      started_at       TEXT NOT NULL CHECK (started_at {_TIME}),
      unknown_before   TEXT CHECK (unknown_before {_TIME}),
      last_open_before TEXT CHECK (last_open_before {_TIME}),
      UNIQUE (item_no, number),
      CHECK ((unknown_before IS NULL) = (last_open_before IS NULL))
    ) STRICT
    """,
    """
    INSERT INTO attempt_4
    SELECT attempt_id, item_no, number, run_no, started_at, unknown_before, last_open_before
    FROM attempt JOIN item USING (lane_id, client_token) JOIN run USING (run_id) ORDER BY attempt_id
    """,
    f"""
    CREATE TABLE outcome_4 (
      attempt_id        INTEGER PRIMARY KEY REFERENCES attempt_4 (attempt_id),
      kind              TEXT NOT NULL CHECK ({_one_of("kind", *_KINDS_4)}),
      ended_at          TEXT NOT NULL CHECK (ended_at {_TIME}),
      request_id        TEXT,
      status            INTEGER,
      code              TEXT,
      message           TEXT,
      reason            TEXT,
      fields            TEXT,
      resource_id       TEXT,
      resume_after      TEXT CHECK (resume_after {_TIME}),
      attachment_id     TEXT,
      attachment_arn    TEXT,
      attachment_status TEXT CHECK ({_one_of("attachment_status", *_STATUS_4)}),
      CHECK ((kind = 'accepted') = (attachment_id IS NOT NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_arn IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_status IS NULL))
    ) STRICT
    """,
    "INSERT INTO outcome_4 SELECT * FROM outcome ORDER BY attempt_id",
    "DROP TABLE outcome",
    "DROP TABLE attempt",
    "DROP TABLE item",
    "ALTER TABLE item_4 RENAME TO item",
    "ALTER TABLE attempt_4 RENAME TO attempt",
    "ALTER TABLE outcome_4 RENAME TO outcome",
    "CREATE UNIQUE INDEX item_current ON item (lane_id, batch, item_id) WHERE current = 1",
    "CREATE INDEX item_replaced ON item (lane_id, batch, item_id) WHERE current = 0",
    "CREATE INDEX item_state ON item (lane_id, batch, state) WHERE current = 1",
    "CREATE INDEX item_open ON item (lane_id) WHERE state = 'sending'",
    "CREATE UNIQUE INDEX item_attachment ON item (lane_id, attachment_id) WHERE attachment_id IS NOT NULL",
    *(
        f"CREATE TRIGGER {table}_never_{change.lower()} BEFORE {change} ON {table} "
        f"BEGIN SELECT RAISE (ABORT, 'what happened is never changed'); END"
        for table in ("attempt", "outcome")
        for change in ("UPDATE", "DELETE")
    ),
)

# Several lanes: a run is of one lane, or of none if it reached none. One command uses the same id in each of its lanes.
_VERSION_5 = (
    f"""
    CREATE TABLE run_5 (
      run_no    INTEGER PRIMARY KEY,
      lane_id   INTEGER REFERENCES lane,
      run_id    TEXT NOT NULL,
      verb      TEXT NOT NULL,
      batch     TEXT NOT NULL,
      program   TEXT NOT NULL,
      began_at  TEXT NOT NULL CHECK (began_at {_TIME}),
      ended_at  TEXT CHECK (ended_at {_TIME}),
      exit_code INTEGER,
      summary   TEXT,
      UNIQUE (lane_id, run_id),
      CHECK ((ended_at IS NULL) = (exit_code IS NULL)),
      CHECK ((ended_at IS NULL) = (summary IS NULL))
    ) STRICT
    """,
    """
    INSERT INTO run_5
    SELECT run_no, (SELECT lane_id FROM lane), run_id, verb, batch, program, began_at, ended_at, exit_code, summary
    FROM run ORDER BY run_no
    """,
    "DROP TABLE run",
    "ALTER TABLE run_5 RENAME TO run",
)

# Targets: which lane each was found to be. A run that reached no lane is of its target, and of every lane without one.
_VERSION_6 = (
    f"""
    CREATE TABLE target (
      label     TEXT PRIMARY KEY CHECK (label <> ''),
      lane_id   INTEGER NOT NULL REFERENCES lane,
      pinned_at TEXT NOT NULL CHECK (pinned_at {_TIME})
    ) STRICT, WITHOUT ROWID
    """,
    "ALTER TABLE run ADD COLUMN target TEXT",
    # the last run of a lane, and its last attempt, are found without a look at what the other lanes did
    "CREATE INDEX run_lane ON run (lane_id)",
    "CREATE INDEX attempt_run ON attempt (run_no)",
)

DIGEST = """
    CREATE TABLE digest (
      path         TEXT PRIMARY KEY,
      device       INTEGER NOT NULL,
      inode        INTEGER NOT NULL,
      size_bytes   INTEGER NOT NULL CHECK (size_bytes >= 0),
      mtime_ns     INTEGER NOT NULL,
      sha256       TEXT NOT NULL CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
      content_type TEXT NOT NULL,
      insight      TEXT
    ) STRICT, WITHOUT ROWID
    """

# `insight` is what a look inside a document found, as JSON. Old rows are dropped, so that each file is looked into.
_VERSION_7 = ("DROP TABLE digest", DIGEST)

# Who a run was: the ARN of its credentials, the user and the machine. NULL in earlier runs, and if it is not known.
_VERSION_8 = tuple(f"ALTER TABLE run ADD COLUMN {column} TEXT" for column in ("principal", "os_user", "host"))

# Finds what is at the service with the same bytes, by 64 bits of the digest. Items that are not there have no entry.
_VERSION_9 = (
    "CREATE INDEX item_content ON item (lane_id, substr(content, 8, 16)) WHERE state IN ('complete', 'processing')",
)

# Bindings: an attachment is put into a field of a registration. The table of items is made anew, since what a state
# demands has changed; that of attempts goes on to refer to it by its name.
_VERSION_10 = (
    f"""
    CREATE TABLE item_10 (
      item_no               INTEGER PRIMARY KEY,
      lane_id               INTEGER NOT NULL REFERENCES lane,
      client_token          TEXT NOT NULL CHECK (length(client_token) BETWEEN 1 AND 64),
      batch                 TEXT NOT NULL,
      item_id               TEXT NOT NULL,
      source                TEXT NOT NULL,
      content               TEXT NOT NULL CHECK (content GLOB 'sha256:?*' OR content GLOB 'url:?*'),
      tags                  TEXT NOT NULL,
      generation            INTEGER NOT NULL,
      identity_tag          INTEGER NOT NULL CHECK (identity_tag IN (0, 1)),
      size_bytes            INTEGER CHECK (size_bytes >= 0),
      content_type          TEXT,
      current               INTEGER NOT NULL CHECK (current IN (0, 1)),
      state                 TEXT NOT NULL,
      attachment_id         TEXT,
      attachment_arn        TEXT,
      attachment_status     TEXT CHECK ({_one_of("attachment_status", *_STATUS_4)}),
      attachment_created_at TEXT CHECK (attachment_created_at {_TIME}),
      fault_code            TEXT,
      fault_message         TEXT,
      fault_reason          TEXT,
      fault_fields          TEXT,
      fault_resource_id     TEXT,
      attempts              INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
      request_id            TEXT,
      unknown_since         TEXT CHECK (unknown_since {_TIME}),
      last_open_at          TEXT CHECK (last_open_at {_TIME}),
      resume_after          TEXT CHECK (resume_after {_TIME}),
      first_sent_at         TEXT CHECK (first_sent_at {_TIME}),
      completed_at          TEXT CHECK (completed_at {_TIME}),
      enlisted_at           TEXT NOT NULL CHECK (enlisted_at {_TIME}),
      changed_at            TEXT NOT NULL CHECK (changed_at {_TIME}),
      bind_registration     TEXT,
      bind_field            TEXT,
      bind_state            TEXT,
      bound_version         INTEGER,
      denial                TEXT,
      UNIQUE (lane_id, client_token),
      CHECK ((attachment_id IS NULL) = (attachment_arn IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_status IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_created_at IS NULL)),
      CONSTRAINT what_a_state_demands CHECK (CASE WHEN bind_state = 'refused'
        THEN state = 'failed' AND attachment_id IS NOT NULL AND fault_code IS NOT NULL AND unknown_since IS NULL
        ELSE CASE state
        WHEN 'pending' THEN attachment_id IS NULL AND unknown_since IS NULL
        WHEN 'sending' THEN attachment_id IS NULL AND unknown_since IS NOT NULL
        WHEN 'processing' THEN attachment_id IS NOT NULL AND unknown_since IS NULL
        WHEN 'binding' THEN attachment_status = 'UPLOAD_COMPLETE' AND unknown_since IS NULL
          AND completed_at IS NOT NULL AND coalesce(bind_state = 'wanted' OR bind_state = 'sent', 0)
        WHEN 'complete' THEN attachment_id IS NOT NULL AND unknown_since IS NULL AND completed_at IS NOT NULL
          AND (bind_state IS NULL OR bind_state = 'bound' OR bind_state = 'replaced')
        WHEN 'failed' THEN fault_code IS NOT NULL AND unknown_since IS NULL
        WHEN 'unknown' THEN attachment_id IS NULL AND unknown_since IS NOT NULL
        WHEN 'parked' THEN unknown_since IS NULL
        ELSE 0 END END),
      CHECK ((unknown_since IS NULL) = (last_open_at IS NULL)),
      CHECK (resume_after IS NULL OR state = 'parked'),
      CHECK ((attempts = 0) = (first_sent_at IS NULL)),
      CHECK ((fault_code IS NULL) = (fault_message IS NULL)),
      CHECK ((fault_code IS NULL) = (fault_fields IS NULL)),
      CONSTRAINT what_a_bind_demands CHECK (CASE WHEN bind_state IS NULL
        THEN bind_registration IS NULL AND bind_field IS NULL AND bound_version IS NULL AND denial IS NULL
        ELSE coalesce(bind_registration <> '' AND bind_field <> '' AND CASE bind_state
          WHEN 'bound' THEN bound_version >= 1
          WHEN 'replaced' THEN bound_version >= 1
          WHEN 'wanted' THEN 1
          WHEN 'sent' THEN 1
          WHEN 'refused' THEN 1
          ELSE 0 END, 0) END)
    ) STRICT
    """,
    "INSERT INTO item_10 SELECT *, NULL, NULL, NULL, NULL, NULL FROM item ORDER BY item_no",
    "DROP TABLE item",
    "ALTER TABLE item_10 RENAME TO item",
    "CREATE UNIQUE INDEX item_current ON item (lane_id, batch, item_id) WHERE current = 1",
    "CREATE INDEX item_replaced ON item (lane_id, batch, item_id) WHERE current = 0",
    "CREATE INDEX item_state ON item (lane_id, batch, state) WHERE current = 1",
    "CREATE INDEX item_open ON item (lane_id) WHERE state = 'sending'",
    "CREATE UNIQUE INDEX item_attachment ON item (lane_id, attachment_id) WHERE attachment_id IS NOT NULL",
    # no condition on the state, so that a change of state leaves it alone
    "CREATE INDEX item_content ON item (lane_id, substr(content, 8, 16)) WHERE attachment_id IS NOT NULL",
    # those with a `bind` alone: a ledger without pays nothing
    "CREATE INDEX item_bind ON item (lane_id, bind_registration, bind_field) WHERE bind_registration IS NOT NULL",
    f"""
    CREATE TABLE bind_attempt (
      attempt_id    INTEGER PRIMARY KEY,
      item_no       INTEGER NOT NULL REFERENCES item (item_no),
      run_no        INTEGER NOT NULL REFERENCES run (run_no),
      registration  TEXT NOT NULL,
      field         TEXT NOT NULL,
      attachment_id TEXT NOT NULL,
      started_at    TEXT NOT NULL CHECK (started_at {_TIME})
    ) STRICT
    """,
    "CREATE INDEX bind_attempt_item ON bind_attempt (item_no)",
    "CREATE INDEX bind_attempt_attachment ON bind_attempt (attachment_id)",
    f"""
    CREATE TABLE bind_outcome (
      attempt_id  INTEGER PRIMARY KEY REFERENCES bind_attempt (attempt_id),
      kind        TEXT NOT NULL CHECK ({_one_of("kind", *_KINDS_4)}),
      ended_at    TEXT NOT NULL CHECK (ended_at {_TIME}),
      request_id  TEXT,
      status      INTEGER,
      code        TEXT,
      message     TEXT,
      reason      TEXT,
      fields      TEXT,
      resource_id TEXT,
      version     INTEGER CHECK (version >= 1),
      CHECK ((kind = 'accepted') = (version IS NOT NULL))
    ) STRICT
    """,
    *(
        f"CREATE TRIGGER {table}_never_{change.lower()} BEFORE {change} ON {table} "
        f"BEGIN SELECT RAISE (ABORT, 'what happened is never changed'); END"
        for table in ("bind_attempt", "bind_outcome")
        for change in ("UPDATE", "DELETE")
    ),
    f"""
    CREATE TABLE field_definition (
      lane_id           INTEGER NOT NULL REFERENCES lane,
      registration_type TEXT NOT NULL,
      fields            TEXT NOT NULL,
      read_at           TEXT NOT NULL CHECK (read_at {_TIME}),
      PRIMARY KEY (lane_id, registration_type)
    ) STRICT
    """,
)

# Since when the ledger can answer for what fields hold: a copy and a restored backup cannot for what was sent before.
_VERSION_11 = (f"ALTER TABLE lane ADD COLUMN doubted_before TEXT CHECK (doubted_before {_TIME})",)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    VERSION_1,
    VERSION_2,
    VERSION_3,
    _VERSION_4,
    _VERSION_5,
    _VERSION_6,
    _VERSION_7,
    _VERSION_8,
    _VERSION_9,
    _VERSION_10,
    _VERSION_11,
)
