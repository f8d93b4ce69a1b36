// Which items are shown, and in which order.

const filter = { words: [], states: new Set(), cause: null, lane: null, sort: null, down: false };

const COLUMNS = [
  { key: "id", label: "Item", of: (item) => item.id },
  { key: "state", label: "State", of: (item) => item.rank },
  { key: "what", label: "Reason or attachment", of: reasonOrAttachment },
  { key: "size", label: "Size", of: (item) => item.size, num: true },
  { key: "tries", label: "Attempts", of: (item) => item.attempts, num: true },
  { key: "sent", label: "First sent (UTC)", of: (item) => item.sent },
  { key: "done", label: "Completed (UTC)", of: (item) => item.completed },
];

const COLLATOR = new Intl.Collator("en", { numeric: true });

function matches(item) {
  if (filter.lane !== null && item.lane !== filter.lane) return false;
  if (filter.states.size && !filter.states.has(item.state)) return false;
  if (filter.cause && !hasCause(item, filter.cause)) return false;
  if (!filter.words.length) return true;
  const text = searchTextOf(item);
  return filter.words.every((each) => text.includes(each));
}

const hasCause = (item, cause) => kindOf(item) === cause.kind && causeOf(item) === cause.name
  && (cause.kind === "denied" || (item.state === cause.state && retriesOf(item) === cause.retries));

/** Return the chosen items, failures first unless a column is sorted; items without a value come last. */
function chosenItems() {
  const shown = model.items.filter((item) => item !== undefined && matches(item));
  const column = COLUMNS.find((each) => each.key === filter.sort);
  if (!column) return shown.sort((a, b) => a.rank - b.rank || a.number - b.number);
  const sign = filter.down ? -1 : 1;
  const keyed = shown.map((item) => [column.of(item), item]);
  const isEmpty = (value) => value === null || value === "";
  const compare = (a, b) => (typeof a === "string" ? COLLATOR.compare(a, b) : a - b);
  keyed.sort(([a, one], [b, other]) =>
    isEmpty(a) - isEmpty(b) || (isEmpty(a) ? 0 : sign * compare(a, b)) || one.number - other.number);
  return keyed.map(([, item]) => item);
}

function isFiltered() {
  return filter.words.length > 0 || filter.states.size > 0 || filter.cause !== null || filter.lane !== null;
}

function drawFilters() {
  const present = STATES.map((state) => model.items.reduce((sum, item) => sum + (item?.state === state), 0));
  keepFocus($("states"), () => inReadingOrder(STATES.map((state, place) => [state, present[place]]))
    .filter(([state, many]) => many || filter.states.has(state))
    .map(([state, many]) => h("label", { class: `chip s-${state}` },
      h("input", { type: "checkbox", "data-key": state, ...(filter.states.has(state) ? { checked: true } : {}), on: { change: (event) => chooseState(state, event.target.checked) } }),
      icon(state), h("span", { text: `${capital(state)} ` }), h("span", { class: "many", text: count(many) }))));
  const cause = filter.cause;
  $("cause-filter").hidden = cause === null;
  if (cause) {
    const what = cause.kind === "denied" ? ["denied by a reviewer: ", cause.name || "no reason given"] : ["", cause.name || STATE_WORDS[cause.state]];
    $("cause-filter").replaceChildren(`Only ${what[0]}`, h("strong", { text: what[1] }), cause.kind === "binding" ? " at binding " : " ",
      h("button", { type: "button", class: "plain", on: { click: () => { filter.cause = null; refilter(); $("search").focus(); } } }, "Show others too"));
  }
  $("lane-filter").hidden = filter.lane === null;
  if (filter.lane !== null) {
    $("lane-filter").replaceChildren("Only the lane ", h("strong", { text: laneName(filter.lane) }), " ",
      h("button", { type: "button", class: "plain", on: { click: () => { chooseLane(null); $("search").focus(); } } }, "Show all lanes"));
  }
  $("clear").hidden = !isFiltered();
}

function chooseState(state, isWanted) {
  if (isWanted) filter.states.add(state);
  else filter.states.delete(state);
  filter.cause = null;
  refilter();
}

function clearFilters() {
  filter.words = [];
  filter.states.clear();
  filter.cause = null;
  filter.lane = null;
  $("search").value = "";
  refilter();
  drawLanes();
}

function showState(state) {
  clearFilters();
  filter.states.add(state);
  refilter();
  goToItems();
}

function showCause(cause) {
  clearFilters();
  if (cause.kind !== "denied") filter.states.add(cause.state);
  filter.cause = cause.name || cause.kind ? cause : null;
  refilter();
  goToItems();
}

function goToItems() {
  $("items").focus({ preventScroll: true });
  $("items").scrollIntoView({ block: "start" });
}

let typing = 0;
function searchFor(text) {
  clearTimeout(typing);
  typing = setTimeout(() => {
    filter.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    refilter();
  }, 120);
}
