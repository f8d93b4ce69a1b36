// What needs a person: an end of the last run that stops the next one, then the items by cause; each with what to do.

function drawAttention() {
  const { causes, block } = model.head;
  $("attention").hidden = causes.length === 0 && !block;
  const items = itemsNamed(causes.flatMap((cause) => cause.ids));
  keepFocus($("causes"), () => [block ? blockCard(block) : null, ...causes.map((cause, place) => causeCard(cause, place, items))].filter(Boolean));
}

function blockCard(block) {
  return h("article", { class: "cause s-failed", "aria-labelledby": "cause-run" },
    h("h3", { id: "cause-run" },
      h("span", { class: "label s-failed" }, icon("failed"), "last run"), h("span", { class: "name plain-name", text: `Exit ${block.exit}` })),
    block.reason ? h("p", { class: "message", title: visible(block.reason), text: block.reason }) : null,
    h("p", { class: "advice" }, h("span", { class: "do", text: "What to do" }), " ",
      "Put this right first: until then a run sends nothing more, or not all of it."),
    commandList(block.commands));
}

function causeCard(cause, place, items) {
  const state = STATES[cause.state];
  const key = `${cause.kind}/${state}/${cause.name}/${cause.retries}`;
  const isDenied = cause.kind === "denied";
  const [sign, label] = isDenied ? ["denied", "denied"] : [state, cause.kind === "binding" ? `${state} at binding` : state];
  const name = isDenied ? "A reviewer denied the registration for it" : cause.name || capital(STATE_WORDS[state]);
  return h("article", { class: `cause s-${sign}`, "aria-labelledby": `cause-${place}` },
    h("h3", { id: `cause-${place}` },
      h("span", { class: `label s-${sign}` }, icon(sign), `${count(cause.count)} ${label}`),
      h("span", { class: cause.name && !isDenied ? "name" : "name plain-name", text: name })),
    cause.message ? h("p", { class: "message", title: visible(cause.message) }, backticked(cause.message)) : null,
    h("p", { class: "advice" }, h("span", { class: "do", text: "What to do" }), " ", ...backticked(capital(cause.advice) + ".")),
    h("ul", { class: "examples" },
      ...cause.ids.map((id) => h("li", {}, items.has(id) ? sheetLink(items.get(id), { "aria-label": visible(id) }, clipped(id)) : clipped(id))),
      cause.count > cause.ids.length ? h("li", { text: `and ${count(cause.count - cause.ids.length)} more` }) : null),
    h("p", { class: "next" },
      h("button", { type: "button", "data-key": key, on: { click: () => showCause({ kind: cause.kind, state, name: cause.name, retries: cause.retries }) } },
        `Show ${cause.count === 1 ? "this item" : `these ${counted(cause.count, "item")}`}`)),
    commandList(cause.commands));
}

/** Return the items that the page lists of these names, which are as `--only` takes them: LANE:ID of several lanes. */
function itemsNamed(names) {
  const [wanted, found] = [new Set(names), new Map()];
  for (const item of wanted.size ? model.items : []) {
    const name = item && (item.lane === null ? item.id : `${laneName(item.lane)}:${item.id}`);
    if (wanted.has(name)) found.set(name, item);
  }
  return found;
}

function commandList(commands) {
  if (!commands.length) return null;
  return h("ul", { class: "commands" }, commands.map(([command, why]) =>
    h("li", {}, h("code", { class: "command", text: command }), why ? h("span", { class: "why", text: why }) : null)));
}

/** Return text, with what is between backticks as code; text in which one has no second as it is. */
function backticked(text) {
  const parts = text.split("`");
  return parts.length % 2 === 0 ? [visible(text)] : parts.map((part, place) => (place % 2 ? h("code", { text: part }) : visible(part)));
}
