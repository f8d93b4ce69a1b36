"""The first three migrations of a ledger in a file, as they were released; `schema.py` has the later ones.

They stay as they are for ever. What they have in common with later texts is repeated there on purpose: a shared text
could not be changed for a new step without changing a released one.
"""

TIME = "GLOB '????-??-??T??:??:??.??????Z'"
_STATUS = "IN ('UPLOAD_IN_PROGRESS', 'UPLOAD_COMPLETE', 'UPLOAD_FAILED', 'DELETED')"

VERSION_1 = (
    f"""
    CREATE TABLE migration (
      version    INTEGER PRIMARY KEY,
      program    TEXT NOT NULL,
      applied_at TEXT NOT NULL CHECK (applied_at {TIME})
    ) STRICT
    """,
    f"""
    CREATE TABLE lane (
      lane_id   INTEGER PRIMARY KEY,
      account   TEXT NOT NULL CHECK (length(account) = 12 AND account NOT GLOB '*[^0-9]*'),
      region    TEXT NOT NULL CHECK (region <> ''),
      endpoint  TEXT NOT NULL,
      pinned_at TEXT NOT NULL CHECK (pinned_at {TIME}),
      listed_at TEXT CHECK (listed_at {TIME}),
      UNIQUE (account, region)
    ) STRICT
    """,
    f"""
    CREATE TABLE run (
      run_no    INTEGER PRIMARY KEY,
      run_id    TEXT NOT NULL UNIQUE,
      verb      TEXT NOT NULL,
      batch     TEXT NOT NULL,
      program   TEXT NOT NULL,
      began_at  TEXT NOT NULL CHECK (began_at {TIME}),
      ended_at  TEXT CHECK (ended_at {TIME}),
      exit_code INTEGER,
      summary   TEXT,
      CHECK ((ended_at IS NULL) = (exit_code IS NULL)),
      CHECK ((ended_at IS NULL) = (summary IS NULL))
    ) STRICT
    """,
    f"""
    CREATE TABLE item (
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
      state                 TEXT NOT NULL CHECK (state IN
        ('pending', 'sending', 'processing', 'complete', 'failed', 'unknown', 'parked')),
      attachment_id         TEXT,
      attachment_arn        TEXT,
      attachment_status     TEXT CHECK (attachment_status {_STATUS}),
      attachment_created_at TEXT CHECK (attachment_created_at {TIME}),
      fault_code            TEXT,
      fault_message         TEXT,
      fault_reason          TEXT,
      fault_fields          TEXT,
      fault_resource_id     TEXT,
      unknown_since         TEXT CHECK (unknown_since {TIME}),
      last_open_at          TEXT CHECK (last_open_at {TIME}),
      resume_after          TEXT CHECK (resume_after {TIME}),
      completed_at          TEXT CHECK (completed_at {TIME}),
      enlisted_at           TEXT NOT NULL CHECK (enlisted_at {TIME}),
      changed_at            TEXT NOT NULL CHECK (changed_at {TIME}),
      UNIQUE (lane_id, client_token),
      CHECK ((attachment_id IS NULL) = (attachment_arn IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_status IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_created_at IS NULL)),
      CHECK (state NOT IN ('processing', 'complete') OR attachment_id IS NOT NULL),
      CHECK (state NOT IN ('pending', 'sending', 'unknown') OR attachment_id IS NULL),
      CHECK ((state IN ('sending', 'unknown')) = (unknown_since IS NOT NULL)),
      CHECK ((unknown_since IS NULL) = (last_open_at IS NULL)),
      CHECK (state <> 'complete' OR completed_at IS NOT NULL),
      CHECK (state <> 'failed' OR fault_code IS NOT NULL),
      CHECK (state = 'parked' OR resume_after IS NULL),
      CHECK ((fault_code IS NULL) = (fault_message IS NULL)),
      CHECK ((fault_code IS NULL) = (fault_fields IS NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX item_current ON item (lane_id, batch, item_id) WHERE current = 1",
    "CREATE UNIQUE INDEX item_attachment ON item (lane_id, attachment_id) WHERE attachment_id IS NOT NULL",
    "CREATE INDEX item_batch ON item (lane_id, batch, state)",
    "CREATE INDEX item_open ON item (lane_id) WHERE state = 'sending'",
    f"""
    CREATE TABLE attempt (
      attempt_id       INTEGER PRIMARY KEY,
      lane_id          INTEGER NOT NULL,
      client_token     TEXT NOT NULL,
      number           INTEGER NOT NULL CHECK (number >= 1),
      run_id           TEXT NOT NULL REFERENCES run (run_id),
      started_at       TEXT NOT NULL CHECK (started_at {TIME}),
      unknown_before   TEXT CHECK (unknown_before {TIME}),
      last_open_before TEXT CHECK (last_open_before {TIME}),
      UNIQUE (lane_id, client_token, number),
      FOREIGN KEY (lane_id, client_token) REFERENCES item (lane_id, client_token),
      CHECK ((unknown_before IS NULL) = (last_open_before IS NULL))
    ) STRICT
    """,
    f"""
    CREATE TABLE outcome (
      attempt_id        INTEGER PRIMARY KEY REFERENCES attempt,
      kind              TEXT NOT NULL CHECK (kind IN
        ('accepted', 'throttled', 'refused', 'no_capacity', 'denied', 'unknown', 'withdrawn')),
      ended_at          TEXT NOT NULL CHECK (ended_at {TIME}),
      request_id        TEXT,
      status            INTEGER,
      code              TEXT,
      message           TEXT,
      reason            TEXT,
      fields            TEXT,
      resource_id       TEXT,
      resume_after      TEXT CHECK (resume_after {TIME}),
      attachment_id     TEXT,
      attachment_arn    TEXT,
      attachment_status TEXT CHECK (attachment_status {_STATUS}),
      CHECK ((kind = 'accepted') = (attachment_id IS NOT NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_arn IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_status IS NULL))
    ) STRICT
    """,
    f"""
    CREATE TABLE stranger (
      lane_id        INTEGER NOT NULL REFERENCES lane,
      attachment_id  TEXT NOT NULL,
      attachment_arn TEXT NOT NULL,
      status         TEXT NOT NULL CHECK (status {_STATUS}),
      identity_tag   TEXT,
      created_at     TEXT NOT NULL CHECK (created_at {TIME}),
      seen_at        TEXT NOT NULL CHECK (seen_at {TIME}),
      PRIMARY KEY (lane_id, attachment_id)
    ) STRICT
    """,
    *(
        f"CREATE TRIGGER {table}_never_{change.lower()} BEFORE {change} ON {table} "
        f"BEGIN SELECT RAISE (ABORT, 'what happened is never changed'); END"
        for table in ("attempt", "outcome")
        for change in ("UPDATE", "DELETE")
    ),
    """
    CREATE VIEW known AS
    SELECT item.*,
      (SELECT count(*) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.kind IS NOT 'withdrawn') AS attempts,
      (SELECT outcome.request_id FROM attempt JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.request_id IS NOT NULL
        ORDER BY attempt.number DESC LIMIT 1) AS request_id,
      (SELECT min(attempt.started_at) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.kind IS NOT 'withdrawn') AS first_sent_at
    FROM item
    """,
)

VERSION_2 = (
    f"""
    CREATE TABLE rate (
      lane_id    INTEGER NOT NULL REFERENCES lane,
      operation  TEXT NOT NULL,
      learned    TEXT NOT NULL,
      learned_at TEXT NOT NULL CHECK (learned_at {TIME}),
      PRIMARY KEY (lane_id, operation)
    ) STRICT
    """,
)

_DIGEST = """
    CREATE TABLE digest (
      path         TEXT PRIMARY KEY,
      device       INTEGER NOT NULL,
      inode        INTEGER NOT NULL,
      size_bytes   INTEGER NOT NULL CHECK (size_bytes >= 0),
      mtime_ns     INTEGER NOT NULL,
      sha256       TEXT NOT NULL CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
      content_type TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """

VERSION_3 = (
    _DIGEST,
    # what is current is counted by state, and what was replaced is found by its id: each index holds only its own
    "DROP INDEX item_batch",
    "CREATE INDEX item_state ON item (lane_id, batch, state) WHERE current = 1",
    "CREATE INDEX item_replaced ON item (lane_id, batch, item_id) WHERE current = 0",
)
