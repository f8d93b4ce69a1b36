// The detail of one item: its fault, its facts and each attempt.

const OUTCOMES = {
  accepted: "accepted", throttled: "throttled", refused: "refused", no_capacity: "no capacity", denied: "denied",
  unknown: "no answer", withdrawn: "withdrawn, not sent",
};

function detailOf(item) {
  return h("div", { class: "detail-body" },
    h("p", { class: "to-sheet" }, sheetLink(item, {}, "Sheet of this item, to print or to link to")),
    faultBlock(item), denialBlock(item), itemFacts(item), attemptsTable(item));
}

/** Return what a reviewer said of the attachment in its field: texts of others, of any length, each line its own. */
function denialBlock(item) {
  const denial = item.bind?.denial;
  if (!denial) return null;
  const lines = (name, text) => (text ? [h("dt", { text: name }), h("dd", {}, text.split(/\r?\n/).filter((line) => line.trim()).map((text) => h("p", { dir: "auto", text })))] : []);
  const after = item.bind.version > denial.version ? `; it is in version ${item.bind.version} now` : "";
  return h("div", { class: "said s-denied" },
    h("p", {}, h("strong", { text: `Denied by a reviewer in version ${denial.version} of the registration` }), h("span", { class: "muted", text: after })),
    h("dl", { class: "review" }, lines("Reason", denial.reason), lines("Feedback, by generative AI", denial.feedback)));
}

const BIND_WORDS = {
  wanted: "To be put into", sent: "Sent to, no answer so far", bound: "In field", refused: "Could not be put into", replaced: "Was in, a later one took its place",
};

/** Return the facts of the field that an item's `bind` names. */
function bindFacts({ bind }) {
  if (!bind) return [];
  return [
    [BIND_WORDS[bind.state], h("code", { text: bind.field })],
    ["Registration", h("code", { text: bind.registration })],
    ["Version of the registration", bind.version === null ? null : String(bind.version)],
  ];
}

function faultBlock(item) {
  const fault = faultOf(item.fault);
  if (!fault) return null;
  return h("div", { class: `said s-${item.state}` },
    h("p", {}, h("strong", { text: fault.name }), fault.reason ? h("span", { class: "muted", text: ` ${fault.code}` }) : null),
    fault.message ? h("p", { class: "message" }, backticked(fault.message)) : null,
    fault.fields.length ? h("dl", { class: "fields" }, fault.fields.flatMap(([name, text]) => [h("dt", { text: name }), h("dd", { text })])) : null);
}

/** Return the facts of an item; `more` are further names with their values. */
function itemFacts(item, more = []) {
  const tags = item.tags === undefined || item.tags === null || item.tags < 0 ? [] : model.tags[item.tags];
  const code = (text) => (text === null ? null : h("code", { text }));
  const pairs = [
    ["Id", code(item.id)],
    ["Lane", item.lane === null ? null : laneFact(lanesOf()[item.lane])],
    ["Source", item.source === item.id ? null : code(item.source)],
    ["State", `${item.state}: ${STATE_WORDS[item.state]}`],
    ["Not tried before", item.resume ? time(item.resume) : null],
    ["Type", word(item.type)],
    ["Size", item.size === null ? null : `${size(item.size)}${item.size < 1000 ? "" : ` (${count(item.size)} bytes)`}`],
    ["SHA-256", code(item.sha256)],
    ["ClientToken", code(item.token)],
    ["Attachment", code(item.attachment)],
    ["ARN", code(arnOf(item))],
    ["Status at the service", word(item.status)],
    ...bindFacts(item),
    ["First sent", item.sent ? time(item.sent, { millis: true }) : null],
    ["Completed", item.completed ? time(item.completed, { millis: true }) : null],
    ["Tags", tags.length ? h("ul", { class: "tags" }, tags.map(([key, value]) => h("li", {}, h("code", { text: `${key}=${value}` })))) : null],
    ...more,
  ];
  return h("dl", { class: "named" }, pairs.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => h("div", {}, h("dt", { text: name }), typeof value === "string" ? h("dd", { text: value }) : h("dd", {}, value))));
}

function laneFact(lane) {
  return h("span", {}, h("code", { text: lane.label }), lane.account ? `, account ${lane.account}` : "");
}

function attemptsTable(item) {
  const attempts = attemptsOf(item);
  if (!attempts.length) {
    const why = model.head.attempts_left_out && item.attempts ? "The attempts of this item were left out: there are too many on this page." : "Never sent by a run of this ledger.";
    return h("p", { class: "note", text: item.attempts === 0 && item.attachment ? "Found at the service by its identity tag." : why });
  }
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Attempts of ${visible(item.id)}` },
    h("table", { class: "tries" },
      h("caption", { text: counted(attempts.length, "attempt") }),
      h("thead", {}, h("tr", {}, ATTEMPT_TITLES.map((text) => (text ? h("th", { scope: "col", text }) : h("th", { scope: "col" }, h("span", { class: "hidden", text: "Number" })))))),
      h("tbody", {}, attempts.map(attemptRow))));
}

const ATTEMPT_TITLES = ["", "Began (UTC)", "Took", "Outcome", "Code", "Request id", "HTTP", "Run"];

function attemptRow(attempt) {
  const outcome = attempt.kind === null ? "no end recorded" : OUTCOMES[attempt.kind];
  const fault = attempt.fault;
  const cell = (place, given, ...children) => h("td", { "data-label": ATTEMPT_TITLES[place], ...given }, ...children);
  return h("tr", {},
    h("th", { scope: "row", class: "num", text: attempt.number }),
    cell(1, {}, time(attempt.began, { millis: true })),
    cell(2, { class: "num", text: attempt.took === null ? "–" : duration(attempt.took) }),
    cell(3, {}, h("span", { class: `outcome-name o-${attempt.kind ?? "open"}`, text: outcome })),
    cell(4, { class: "wrap" }, fault ? h("span", { title: visible(fault.message), text: fault.reason ? `${fault.code}, ${fault.reason}` : fault.code }) : "–"),
    cell(5, {}, attempt.request ? h("code", { text: attempt.request }) : "–"),
    cell(6, { text: attempt.status ?? "–" }),
    cell(7, {}, attempt.run ? h("code", { text: attempt.run }) : "–"));
}
