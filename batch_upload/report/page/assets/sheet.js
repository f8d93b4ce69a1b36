// The sheet of one item: everything that is known of it, at an address of its own (`#item=…`), on one page of paper.

const sheet = { shown: null, title: "", drawn: "" };

/** Return the fragment by which an item is opened: its id, and its lane where there are several. */
function fragmentOf(item) {
  const part = (text) => encodeURIComponent(/\p{Cs}/u.test(text) ? visible(text) : text); // half a character has no code
  return `#item=${part(item.id)}${item.lane === null ? "" : `&lane=${part(laneName(item.lane))}`}`;
}

function sheetLink(item, given, ...children) {
  return h("a", { class: "sheet-link", href: fragmentOf(item), "data-key": `sheet-${item.number}`, ...given }, ...children);
}

/** Return the id and lane that the address names, or null where it names no item. */
function wantedItem() {
  if (!location.hash.startsWith("#item=")) return null;
  const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
  return { id: given.get("item"), lane: given.get("lane") };
}

function findItem({ id, lane }) {
  const isNamed = (text, name) => text === name || visible(text) === name;
  return model.items.find((item) => item !== undefined && isNamed(item.id, id)
    && (lane === null || item.lane === null || isNamed(laneName(item.lane), lane)));
}

/** Open the sheet that the address names, or close the one that is open. */
function followAddress() {
  const wanted = wantedItem();
  if (wanted === null) {
    if ($("sheet").open) $("sheet").close();
    return;
  }
  Object.assign(sheet, { shown: wanted, drawn: "" });
  drawSheet();
  if (!$("sheet").open) $("sheet").showModal();
  $("sheet").scrollTop = 0;
}

function drawSheet() {
  if (sheet.shown === null) return;
  const item = findItem(sheet.shown);
  const { head } = model;
  $("sheet-made").replaceChildren(`${head.program}, as of `, time(head.at), " UTC, read from the ledger.");
  const attempts = item ? attemptsOf(item) : [];
  const runs = head.runs.filter((run) => attempts.some((attempt) => attempt.run === run.id));
  const drawn = JSON.stringify([{ ...item, searchText: null }, attempts, runs.map((run) => run.ended)]);
  if (drawn === sheet.drawn) return; // so that a selection stays
  sheet.drawn = drawn;
  $("sheet-title").textContent = visible(item ? item.id : sheet.shown.id);
  $("sheet-body").replaceChildren(...(item
    ? [faultBlock(item), denialBlock(item), itemFacts(item, originFacts(item)), attemptsTable(item)].filter(Boolean)
    : [h("p", { class: "note", text: "This page has no such item." })]));
  if (!sheet.title) sheet.title = document.title;
  document.title = `${visible(item ? item.id : sheet.shown.id)} · ${sheet.title}`; // also the name of a printed file
}

/** Return where the item was sent, from what, and by which runs. */
function originFacts(item) {
  const { head } = model;
  const lane = item.lane === null ? head : lanesOf()[item.lane];
  const runs = [...new Set(attemptsOf(item).map((attempt) => attempt.run))].filter(Boolean);
  return [
    ["Batch", head.batch],
    ["Account and Region", lane.account ? `${lane.account}, ${lane.region}` : null],
    ["Endpoint", head.endpoint],
    ["Manifest", head.manifest],
    ["Ledger", head.ledger],
    [runs.length > 1 ? "Runs" : "Run", runs.length ? h("ul", {}, runs.map((id) => h("li", {}, ...runFacts(id, lane)))) : null],
  ];
}

/** Return what the page knows of a run in a lane; of one that it no longer lists, its id. */
function runFacts(id, lane) {
  const run = model.head.runs.find((each) => each.id === id);
  if (!run) return [h("code", { text: id })];
  const who = lane.run === id ? lane.who : run.who; // only of a lane's last run is it known for the lane alone
  const program = run.program ? ` by batch-upload ${visible(run.program)}` : "";
  return [h("code", { text: id }), `, ${run.verb}${program}, `, ...ending(run), who ? `; run by ${visible(who)}` : ""];
}

/** Forget the item in the address, and put the focus where it came from: on the item's row where there is nothing else. */
function sheetClosed() {
  const item = findItem(sheet.shown);
  sheet.shown = null;
  document.title = sheet.title;
  if (wantedItem() !== null) history.replaceState(null, "", location.pathname + location.search);
  if (![document.body, null].includes(document.activeElement) && !$("sheet").contains(document.activeElement)) return;
  const place = item ? view.items.findIndex((each) => each.number === item.number) : -1;
  if (place >= 0) moveTo(place);
}
