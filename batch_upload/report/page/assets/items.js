// The table of items. Only the rows in sight, with their details, and the row with the focus are in the page.

const ROW = 44; // pixels, as in page.css
const OVERSCAN = 8; // rows drawn above and below what is in sight
const PRINTED = 1000;
const view = { items: [], open: new Map(), focus: 0, printing: false, drawn: "" };

/** Filter and sort again, and draw. */
function refilter({ keep = false } = {}) {
  const before = view.items[view.focus];
  view.items = chosenItems();
  const place = keep && before ? view.items.findIndex((item) => item.number === before.number) : -1;
  view.focus = Math.max(0, place);
  if (!keep) $("viewport").scrollTop = 0;
  drawFilters();
  drawColumns();
  drawCount();
  drawRows({ force: true });
}

function drawCount() {
  const [shown, all] = [view.items.length, model.items.length];
  const text = shown === all ? counted(all, "item") : `${count(shown)} of ${counted(all, "item")}`;
  if ($("count").textContent !== text) $("count").textContent = text;
  $("nothing").hidden = shown > 0;
  const { listed, chosen, commands, attempts_left_out } = model.head;
  $("left-out").hidden = listed === chosen && !attempts_left_out;
  $("left-out").replaceChildren(
    listed < chosen ? `${count(listed)} of ${counted(chosen, "item")} are listed here, those that need attention first. ` : "",
    attempts_left_out ? "Not all attempts are on this page. " : "", "All of them: ", h("code", { text: commands.csv }));
}

function drawColumns() {
  keepFocus($("columns"), () => COLUMNS.map((column) => {
    const isSorted = filter.sort === column.key;
    const sorted = isSorted ? (filter.down ? "descending" : "ascending") : null;
    return h("th", { scope: "col", class: `c-${column.key}${column.num ? " num" : ""}`, "aria-sort": sorted },
      h("button", { type: "button", class: "sort", "data-key": column.key, on: { click: () => sortBy(column.key) } },
        column.label, h("span", { class: `arrow ${sorted ?? ""}`, "aria-hidden": "true" })));
  }));
}

/** Sort ascending, then descending, then failures first again. */
function sortBy(key) {
  const isSame = filter.sort === key;
  if (isSame && filter.down) filter.sort = null;
  else filter.sort = key;
  filter.down = isSame && !filter.down;
  refilter();
}

/** The number of columns that page.css shows: a cell that spans more would add some. */
const narrow = matchMedia("screen and (max-width: 46rem)");
const columnCount = () => (view.printing ? 4 : narrow.matches ? 2 : COLUMNS.length);

const heightOf = (item) => ROW + (view.open.get(item.number) ?? 0);

/** Return the open rows as [place, extra height]: they push the rows after them down. */
function openRows() {
  if (!view.open.size) return [];
  const places = [];
  view.items.forEach((item, place) => { if (view.open.has(item.number)) places.push([place, view.open.get(item.number)]); });
  return places;
}

function topOf(place, open) {
  return place * ROW + open.reduce((sum, [at, more]) => sum + (at < place ? more : 0), 0);
}

function placeAt(pixels, open) {
  let above = 0;
  for (const [at, more] of open) {
    const top = at * ROW + above;
    if (pixels < top + ROW + more) return pixels < top ? Math.floor((pixels - above) / ROW) : at;
    above += more;
  }
  return Math.floor((pixels - above) / ROW);
}

function placesToDraw(open) {
  const last = view.items.length - 1;
  if (view.printing) return Array.from({ length: Math.min(PRINTED, last + 1) }, (_, place) => place);
  const box = $("viewport");
  const first = Math.max(0, placeAt(box.scrollTop, open) - OVERSCAN);
  const until = Math.min(last, placeAt(box.scrollTop + (box.clientHeight || 600), open) + OVERSCAN);
  const places = Array.from({ length: Math.max(0, until - first + 1) }, (_, at) => first + at);
  const hasFocus = $("rows").contains(document.activeElement);
  if (hasFocus && view.focus <= last && (view.focus < first || view.focus > until)) places.push(view.focus);
  return places.sort((a, b) => a - b);
}

function drawRows({ force = false } = {}) {
  const open = openRows();
  const places = placesToDraw(open);
  const height = $("viewport").clientHeight;
  const drawn = places.join();
  if (!force && drawn === view.drawn) return;
  view.drawn = drawn;
  $("table").setAttribute("aria-rowcount", String(view.items.length + 1));
  $("viewport").hidden = view.items.length === 0;
  const kept = new Map([...$("rows").children].filter((row) => row.rowKey).map((row) => [row.rowKey.join(), row]));
  const active = document.activeElement;
  const inRows = $("rows").contains(active);
  const rows = [];
  let at = 0;
  for (const place of places) {
    const top = topOf(place, open);
    if (top > at && !view.printing) rows.push(spacer(top - at));
    const item = view.items[place];
    rows.push(reusableRow(kept, "item", item, place) ?? itemRow(item, place));
    if (view.open.has(item.number)) rows.push(reusableRow(kept, "detail", item, place) ?? detailRow(item, place));
    at = top + heightOf(item);
  }
  const end = topOf(view.items.length, open);
  if (end > at && !view.printing) rows.push(spacer(end - at));
  placeRows(rows);
  if (inRows && !$("rows").contains(document.activeElement)) rowButton(view.focus)?.focus({ preventScroll: true });
  measure();
  if (!view.printing && $("viewport").clientHeight > height) drawRows(); // the viewport grows with its first rows
}

/** Return what a row depends on. A row that has not changed is reused, and with it the user's selection. */
const rowKey = (kind, item, place) => [kind, item.number, place, columnCount(), view.open.has(item.number), model.head.attempts_left_out];

function reusableRow(kept, kind, item, place) {
  const row = kept.get(rowKey(kind, item, place).join());
  if (row === undefined || row.item !== item || row.attempts !== model.attempts.get(item.number)) return null;
  if (kind === "item") row.querySelector(".opener").tabIndex = place === view.focus ? 0 : -1;
  return row;
}

function withKey(row, kind, item, place) {
  return Object.assign(row, { rowKey: rowKey(kind, item, place), item, attempts: model.attempts.get(item.number) });
}

/** Put rows in their places. A row that is in its place is not touched, so that focus and selection stay. */
function placeRows(rows) {
  const body = $("rows");
  const wanted = new Set(rows);
  for (const row of [...body.children]) if (!wanted.has(row)) row.remove();
  rows.forEach((row, at) => { if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null); });
}

function spacer(height) {
  const cell = h("td", { colspan: columnCount() });
  cell.style.height = `${height}px`;
  return h("tr", { class: "space", "aria-hidden": "true" }, cell);
}

function itemRow(item, place) {
  const isOpen = view.open.has(item.number);
  const what = reasonOrAttachment(item);
  const button = h("button", {
    type: "button", class: "opener", "aria-expanded": String(isOpen), "aria-controls": isOpen ? `d-${item.number}` : null,
    tabindex: place === view.focus ? "0" : "-1", title: visible(item.id), "aria-label": nameInWords(item),
    on: { click: () => toggle(place), focus: () => setFocus(place) },
  }, h("span", { class: "twist", "aria-hidden": "true" }), itemName(item));
  const row = h("tr", { class: `item${isOpen ? " is-open" : ""}`, "data-place": place, "aria-rowindex": place + 2 },
    h("th", { scope: "row" }, button),
    h("td", {}, stateLabels(item)),
    h("td", {}, what ? clipped(what, { class: item.state === "complete" && !openDenial(item) ? "clip mono" : "clip code" }) : "–"),
    h("td", { class: "num", text: size(item.size) }),
    h("td", { class: "num", text: item.attempts }),
    h("td", {}, time(item.sent)), h("td", {}, time(item.completed)));
  return withKey(row, "item", item, place);
}

/** Return the state of an item; below it, whether a reviewer denied it. */
function stateLabels(item) {
  const label = (name) => h("span", { class: `label s-${name}` }, icon(name), capital(name));
  return openDenial(item) ? h("span", { class: "stack" }, label(item.state), label("denied")) : label(item.state);
}

/** Return the name for screen readers, which would read a name that is cut as two words. */
const nameInWords = (item) => visible(item.lane === null || lanesOf().length < 2 ? item.id : `${item.id}, ${laneName(item.lane)}`);

/** Return the id of an item; below it its lane, where there are several. */
function itemName(item) {
  const id = clipped(item.id);
  if (item.lane === null || lanesOf().length < 2) return id;
  return h("span", { class: "stack" }, id, clipped(laneName(item.lane), { class: "clip of-lane" }));
}

function detailRow(item, place) {
  const row = h("tr", { class: "detail", "data-place": `${place}d`, id: `d-${item.number}` }, h("td", { colspan: columnCount() }, detailOf(item)));
  return withKey(row, "detail", item, place);
}

/** Correct the guessed heights of open rows by those they have, and draw again where one differs. */
function measure() {
  if (view.printing) return;
  let isOff = false;
  for (const row of $("rows").querySelectorAll("tr.detail")) {
    const number = Number(row.id.slice(2));
    const height = Math.round(row.getBoundingClientRect().height);
    if (height && view.open.get(number) !== height) { view.open.set(number, height); isOff = true; }
  }
  if (isOff) { view.drawn = ""; drawRows(); }
}

function toggle(place, wanted = null) {
  const item = view.items[place];
  const isOpen = view.open.has(item.number);
  if (wanted === isOpen) return;
  if (isOpen) view.open.delete(item.number);
  else view.open.set(item.number, 320);
  const row = $("rows").querySelector(`tr[data-place="${place}"]`);
  row?.classList.toggle("is-open", !isOpen);
  if (row) row.rowKey = rowKey("item", item, place); // this row has the focus, so it is changed, not replaced
  const button = rowButton(place);
  button?.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) button?.removeAttribute("aria-controls");
  else button?.setAttribute("aria-controls", `d-${item.number}`);
  view.drawn = "";
  drawRows();
}

const rowButton = (place) => $("rows").querySelector(`tr[data-place="${place}"] .opener`);

function setFocus(place) {
  const before = rowButton(view.focus);
  if (before) before.tabIndex = -1;
  view.focus = place;
  const now = rowButton(place);
  if (now) now.tabIndex = 0;
}

function moveTo(place) {
  const to = Math.min(Math.max(0, place), view.items.length - 1);
  const [box, open] = [$("viewport"), openRows()];
  const [top, head] = [topOf(to, open), $("columns").getBoundingClientRect().height];
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW + head > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW + head - box.clientHeight;
  setFocus(to);
  drawRows();
  rowButton(to)?.focus({ preventScroll: true });
  rowButton(to)?.scrollIntoView({ block: "nearest" }); // the table may be out of sight
}

function onKey(event) {
  if (!event.target.classList.contains("opener") || event.altKey || event.ctrlKey || event.metaKey) {
    if (event.key === "Escape" && event.target.closest(".detail")) closeFrom(event.target);
    return;
  }
  const page = Math.max(1, Math.floor($("viewport").clientHeight / ROW) - 2);
  const to = { ArrowDown: view.focus + 1, ArrowUp: view.focus - 1, Home: 0, End: view.items.length - 1, PageDown: view.focus + page, PageUp: view.focus - page }[event.key];
  if (to !== undefined) { event.preventDefault(); moveTo(to); }
  else if (event.key === "Escape") toggle(view.focus, false);
}

function closeFrom(element) {
  const place = parseInt(element.closest(".detail").dataset.place, 10);
  rowButton(place)?.focus({ preventScroll: true });
  toggle(place, false);
}

/** Draw the first rows for print: paper has no scroll bar. */
function setPrinting(isPrinting) {
  if (view.printing === isPrinting) return;
  view.printing = isPrinting;
  const many = view.items.length;
  $("printed").textContent = many > PRINTED ? `The first ${count(PRINTED)} of ${counted(many, "item")} are printed. All of them: ${model.head.commands.csv}` : "";
  drawTimeline();
  drawLanes();
  drawRows({ force: true });
}
