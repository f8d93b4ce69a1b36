// What the page knows: rows as they travel (see board.py), made into values when they are looked at.

const STATES = ["pending", "sending", "processing", "complete", "failed", "unknown", "parked"];
const STATE_WORDS = {
  pending: "not sent yet",
  sending: "sent, no answer so far",
  processing: "created, the service is still at work",
  complete: "uploaded, the service has finished with it",
  failed: "refused, or failed by the service",
  unknown: "sent, and no way to prove whether it was created",
  parked: "waits for capacity",
};
const ATTENTION = ["failed", "unknown", "sending", "parked", "pending", "processing", "complete"];
const RANK = STATES.map((state) => ATTENTION.indexOf(state));
const KINDS = ["accepted", "throttled", "refused", "no_capacity", "denied", "unknown", "withdrawn"];

const known = { revision: 0, head: null, words: [], faults: [], tags: [], items: [], attempts: new Map() };

/** Take changes. Everything is replaced where they are whole. */
function take(changes) {
  if (changes.whole) Object.assign(known, { words: [], faults: [], tags: [], items: [], attempts: new Map() });
  known.revision = changes.revision;
  known.head = changes.head;
  for (const name of ["words", "faults", "tags"]) for (const value of changes[name]) known[name].push(value);
  for (const row of changes.items) known.items[row[0]] = itemOf(row);
  const changed = new Set(); // an item whose attempts have changed gets another list of them: rows tell by it
  for (const row of changes.attempts) {
    const tried = changed.has(row[0]) ? known.attempts.get(row[0]) : [...(known.attempts.get(row[0]) ?? [])];
    tried[row[1] - 1] = row;
    known.attempts.set(row[0], tried);
    changed.add(row[0]);
  }
}

const word = (number) => (number === undefined || number === null || number < 0 ? null : known.words[number]);
const faultOf = (number) => {
  if (number === undefined || number < 0) return null;
  const [code, reason, message, fields] = known.faults[number];
  return { code, reason, message, fields, name: reason || code };
};

/** Item values stand as `_item_values` in board.py writes them. */
function itemOf(row) {
  return {
    number: row[0],
    id: row[1],
    source: row[2] === 0 ? row[1] : row[2],
    state: STATES[row[3]],
    rank: RANK[row[3]],
    fault: row[4],
    tries: row[5],
    size: row[6] ?? null,
    type: row[7],
    token: row[8] ?? null,
    sha256: row[9] ?? null,
    attachment: row[10] ?? null,
    arn: row[11] ?? null,
    status: row[12],
    sent: row[13] ?? null,
    completed: row[14] ?? null,
    tags: row[15],
    resume: row[16] ?? null,
    found: null, // what a search looks through, made at the first search
  };
}

function arnOf(item) {
  return typeof item.arn === "number" ? word(item.arn) + item.attachment : item.arn;
}

/** Attempt values stand as `_attempt_values` in board.py writes them; oldest first. */
function attemptsOf(item) {
  return (known.attempts.get(item.number) ?? []).filter(Boolean).map((row) => ({
    number: row[1],
    run: word(row[2]),
    began: row[3],
    took: row[4],
    kind: row[5] < 0 ? null : KINDS[row[5]],
    fault: faultOf(row[6]),
    request: row[7] ?? null,
    status: row[8] ?? null,
  }));
}

/** By what items in one state are grouped, as `cause_name` in head.py says. */
function causeOf(item) {
  const fault = item.state === "failed" || item.state === "parked" ? faultOf(item.fault) : null;
  return fault ? fault.name : "";
}

/** How many retries there were after UPLOAD_FAILED, as text; null of everything else. RETRIES in advice.py. */
function retriesOf(item) {
  const field = faultOf(item.fault)?.fields.find(([name]) => name === "retries");
  return field ? field[1] : null;
}

/** What the table says of an item besides its state: why it is where it is, or which attachment it became. */
function whatOf(item) {
  const fault = faultOf(item.fault);
  if (item.state !== "complete" && fault) return fault.name;
  return item.attachment ?? "";
}

function haystack(item) {
  if (item.found === null) {
    const fault = faultOf(item.fault);
    const requests = (known.attempts.get(item.number) ?? []).map((row) => row[7]);
    const said = fault ? [fault.code, fault.reason, fault.message] : [];
    const parts = [item.id, item.source, item.token, item.sha256, item.attachment, item.state, ...said, ...requests];
    item.found = parts.filter(Boolean).join("\n").toLowerCase();
  }
  return item.found;
}
