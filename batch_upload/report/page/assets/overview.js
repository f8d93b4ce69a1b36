// The masthead, and the counts by state.

function drawOverview() {
  const head = model.head;
  $("batch").textContent = visible(head.batch);
  const kind = document.documentElement.dataset.mode === "live" ? "Watching a batch" : "Completion report";
  $("kind").textContent = kind;
  $("verdict").replaceChildren(...verdict(head));
  drawFacts(head);
  drawTiles(head);
  const left = document.documentElement.dataset.mode === "live" ? "as of" : "written";
  $("made").replaceChildren(
    `${head.program}, ${left} `, time(head.at), " UTC. Everything here was read from the ledger. ",
    "For spreadsheets: ", h("code", { text: head.commands.csv }));
}

function verdict(head) {
  const by = Object.fromEntries(STATES.map((state, place) => [state, head.states[place]]));
  const strong = (text) => h("strong", { text });
  if (head.total === 0) return [strong("The manifest lists nothing.")];
  if (by.complete === head.total) {
    const all = head.total === 1 ? "The one item is complete." : `All ${count(head.total)} items are complete.`;
    return [strong(all), ` ${head.denied ? `${deniedWords(head)}.` : "Nothing is left to do."}`];
  }
  if (head.running) return running(head, by);
  const done = [strong(`${count(by.complete)} of ${count(head.total)}`), head.total === 1 ? " item is complete. " : " items are complete. "];
  return [...done, capital(leftParts(head, by).join("; ")) + "."];
}

/** Say of the items that are not complete what each waits for: a person, room in the account, or only the next run. */
function leftParts(head, by) {
  const full = head.causes.reduce((sum, cause) => sum + (STATES[cause.state] === "parked" ? cause.count : 0), 0);
  const people = head.people - full;
  const rest = head.total - by.complete - head.people;
  const parts = [];
  if (people) parts.push(`${count(people)} ${people === 1 ? "needs" : "need"} a person`);
  if (head.denied) parts.push(deniedWords(head));
  if (full) parts.push(`${count(full)} ${full === 1 ? "waits" : "wait"} for room in the account, which a person must make`);
  if (rest && head.block) parts.push(`${count(rest)} ${rest === 1 ? "waits" : "wait"} until a person has put right what ended the last run`);
  else if (rest) parts.push(`${count(rest)} ${rest === 1 ? "is" : "are"} left for the same command again`);
  return parts;
}

const deniedWords = (head) => `${count(head.denied)} ${head.denied === 1 ? "was" : "were"} denied by a reviewer`;

/** Return the sentence of a run that is under way: what is sent, and what AWS has not confirmed. */
function running(head, by) {
  const { left, rate: pace, left_ms, binds } = head.running;
  const sent = by.complete + by.processing + by.binding;
  const parts = [];
  if (by.processing) parts.push(`AWS has not confirmed ${by.processing === sent ? "them" : count(by.processing) + " of them"} yet.`);
  if (by.binding) parts.push(`${count(by.binding)} ${by.binding === 1 ? "is" : "are"} not in ${by.binding === 1 ? "its" : "their"} field yet.`);
  if (head.denied) parts.push(`${deniedWords(head)}.`);
  if (head.people) parts.push(`${count(head.people)} ${head.people === 1 ? "needs" : "need"} a person.`);
  const ends = left_ms === null ? "" : `, about ${duration(left_ms)} left`;
  const toBind = binds ? `${counted(binds, "attachment")} to put into fields` : "";
  if (left) parts.push(`Running now: ${count(left)} to send at ${rate(pace)}/s${toBind && `, ${toBind}`}${ends}.`);
  else parts.push(binds ? `Running now: ${toBind}${ends}.` : "Running now.");
  return [h("strong", { text: `${count(sent)} of ${count(head.total)} sent` }), parts.length > 1 ? "; " : ". ", parts.join(" ")];
}

function drawFacts(head) {
  const run = head.runs[0];
  const facts = [
    [lanesOf().length > 1 ? "Lanes" : "Account and Region", [whereTo(head)]],
    ["Manifest", [h("code", { text: head.manifest })]],
    ["Ledger", [h("code", { text: head.ledger })]],
    ["Last run", run ? lastRun(run) : ["None so far"]],
    ["How it ended", run ? ending(run) : ["–"]],
  ];
  if (head.endpoint) facts.splice(1, 0, ["Endpoint", [h("code", { text: head.endpoint })]]);
  if (head.only.length) facts.push(["Shown", [`${counted(head.chosen, "item")} chosen by --only ${visible(head.only.join(" "))}`]]);
  $("facts").replaceChildren(...facts.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", {}, ...value))));
}

/** Return the account and Region of the only lane, or how many lanes and accounts there are. */
function whereTo(head) {
  const lanes = lanesOf();
  if (lanes.length > 1) return `${count(lanes.length)} in ${counted(new Set(lanes.map((lane) => lane.account)).size, "account")}`;
  const { account, region } = lanes.length === 1 ? lanes[0] : head;
  return account ? `${account}, ${region}` : "not known before a first run";
}

function lastRun(run) {
  const took = run.ended === null ? "" : `, took ${duration(run.ended - run.began)}`;
  return [time(run.began), ` UTC${took}`];
}

function ending(run) {
  const now = model.head.running;
  if (run.ended === null) return [now && now.run === run.id ? `Running now: ${visible(now.who)}` : "Stopped without an end: run the same command again"];
  return [h("span", { class: exitClass(run.exit), text: `Exit ${run.exit}` }), `, ${visible(run.reason ?? "")}`];
}

const exitClass = (code) =>
  "exit " + (code === 0 ? "exit-good" : code >= 10 && code <= 19 ? "exit-again" : "exit-person");

function drawTiles(head) {
  const shown = STATES.map((state, place) => [state, head.states[place]]).filter(([state, n]) => n || !["invalid", "binding"].includes(state));
  $("bar").replaceChildren(...inReadingOrder(shown).filter(([, n]) => n).map(([state, n]) => {
    const part = h("span", { class: `part s-${state}` });
    part.style.flexGrow = n; // the policy allows a script to set styles, but no style attributes
    return part;
  }));
  keepFocus($("tiles"), () => inReadingOrder(shown).map(([state, n]) =>
    h("li", { class: n ? null : "empty" },
      h("button", { type: "button", class: "tile", "data-key": state, disabled: n === 0, on: { click: () => showState(state) } },
        h("span", { class: `label s-${state}` }, icon(state), capital(state)),
        h("span", { class: "number", text: count(n) }),
        h("span", { class: "words", text: STATE_WORDS[state] })))));
}

const READING_ORDER = ["complete", "failed", "invalid", "unknown", "parked", "sending", "processing", "binding", "pending"];
const inReadingOrder = (shown) => [...shown].sort((a, b) => READING_ORDER.indexOf(a[0]) - READING_ORDER.indexOf(b[0]));

/** Draw the children of an element again, and keep the focus. */
function keepFocus(parent, draw) {
  const active = document.activeElement;
  const key = parent.contains(active) ? active.dataset.key : null;
  parent.replaceChildren(...draw());
  if (key) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}
