// The page's data: rows as they travel (see board.py), made into values when they are read.

const STATES = ["pending", "sending", "processing", "binding", "complete", "failed", "unknown", "parked", "invalid"];
const STATE_WORDS = {
  pending: "not sent yet",
  sending: "sent, no answer so far",
  processing: "created, the service is still at work",
  binding: "uploaded, not in its registration's field yet",
  complete: "uploaded, the service has finished with it",
  failed: "refused, or failed by the service",
  unknown: "sent, and no way to prove whether it was created",
  parked: "waits for capacity",
  invalid: "cannot be sent as the manifest and its file are now",
};
const ATTENTION = ["failed", "invalid", "unknown", "parked", "sending", "pending", "processing", "binding", "complete"];
const RANK = STATES.map((state) => ATTENTION.indexOf(state));
const DENIED_RANK = 0.5; // behind what failed
const BIND_STATES = ["wanted", "sent", "bound", "refused", "replaced"];
const KINDS = ["accepted", "throttled", "refused", "no_capacity", "denied", "unknown", "withdrawn"];

const model = { revision: 0, head: null, words: [], faults: [], tags: [], items: [], attempts: new Map() };

/** Apply changes since a revision. Changes that are `whole` replace everything. */
function applyChanges(changes) {
  if (changes.whole) Object.assign(model, { words: [], faults: [], tags: [], items: [], attempts: new Map() });
  model.revision = changes.revision;
  model.head = changes.head;
  for (const name of ["words", "faults", "tags"]) for (const value of changes[name]) model[name].push(value);
  for (const row of changes.items) model.items[row[0]] = itemOf(row);
  const changed = new Set(); // such an item gets a new list, by which its row sees that it must be drawn again
  for (const row of changes.attempts) {
    const attempts = changed.has(row[0]) ? model.attempts.get(row[0]) : [...(model.attempts.get(row[0]) ?? [])];
    attempts[row[1] - 1] = row;
    model.attempts.set(row[0], attempts);
    changed.add(row[0]);
  }
}

const word = (number) => (number === undefined || number === null || number < 0 ? null : model.words[number]);
const faultOf = (number) => {
  if (number === undefined || number < 0) return null;
  const [code, reason, message, fields] = model.faults[number];
  return { code, reason, message, fields, name: reason || code };
};

/** Read the item values that `Board.put` in board.py writes. */
function itemOf(row) {
  const bind = bindOf(row[18]);
  return {
    number: row[0],
    id: row[1],
    source: row[2] === 0 ? row[1] : row[2],
    state: STATES[row[3]],
    rank: bind?.denial?.isOpen ? DENIED_RANK : RANK[row[3]],
    fault: row[4],
    attempts: row[5],
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
    lane: row[17] ?? null, // its place in the head's lanes
    bind, // null without `bind`
    searchText: null, // made at the first search
  };
}

/** Read the field of an item as `Board._placement_values` in board.py writes it. */
function bindOf(values) {
  if (!values) return null;
  const [registration, field, state, version, said] = values;
  const denial = said ? { version: said[0], reason: word(said[1]), feedback: said[2], isOpen: said[3] } : null;
  return { registration, field: word(field), state: BIND_STATES[state], version: version ?? null, denial };
}

/** Return what a reviewer said of an item, if a person must still act on it. */
const openDenial = (item) => (item.bind?.denial?.isOpen ? item.bind.denial : null);

/** Return the step in which an item came to need a person, as CauseKind in causes.py names it. */
function kindOf(item) {
  if (openDenial(item)) return "denied";
  return item.state === "failed" && item.bind?.state === "refused" ? "binding" : "";
}

function arnOf(item) {
  return typeof item.arn === "number" ? word(item.arn) + item.attachment : item.arn;
}

/** Read the attempt values that `Board.put_attempt` in board.py writes; oldest first. */
function attemptsOf(item) {
  return (model.attempts.get(item.number) ?? []).filter(Boolean).map((row) => ({
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

/** Return the name by which items in one state are grouped, as `causes_of` in causes.py does. */
function causeOf(item) {
  const denial = openDenial(item);
  if (denial) return denial.reason;
  const fault = item.state === "failed" || item.state === "parked" ? faultOf(item.fault) : null;
  return fault ? fault.name : "";
}

/** Return how many retries there were after UPLOAD_FAILED, as text, or null. RETRIES_FIELD in advice.py. */
function retriesOf(item) {
  const field = faultOf(item.fault)?.fields.find(([name]) => name === "retries");
  return field ? field[1] : null;
}

/** Return the reason of an item's state or denial, or its attachment once it is complete. */
function reasonOrAttachment(item) {
  const denial = openDenial(item);
  if (denial) return denial.reason || denial.feedback;
  const fault = faultOf(item.fault);
  if (item.state !== "complete" && fault) return fault.name;
  return item.attachment ?? "";
}

function searchTextOf(item) {
  if (item.searchText === null) {
    const fault = faultOf(item.fault);
    const requests = (model.attempts.get(item.number) ?? []).map((row) => row[7]);
    const faultTexts = fault ? [fault.code, fault.reason, fault.message] : [];
    const { registration, field, denial } = item.bind ?? {};
    const bindTexts = [registration, field, ...(denial ? ["denied", denial.reason, denial.feedback] : [])];
    const parts = [item.id, item.lane === null ? "" : laneName(item.lane), item.source, item.token, item.sha256, item.attachment, item.state, ...bindTexts, ...faultTexts, ...requests];
    item.searchText = parts.filter(Boolean).join("\n").toLowerCase();
  }
  return item.searchText;
}
