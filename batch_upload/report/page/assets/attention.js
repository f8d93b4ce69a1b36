// What needs attention: the causes, failures first, each with what to do about it.

function drawAttention() {
  const causes = model.head.causes;
  $("attention").hidden = causes.length === 0;
  $("attention-title").textContent = causes.every((cause) => ["sending", "parked"].includes(STATES[cause.state]))
    ? "What is not done yet" : "What needs a person";
  keepFocus($("causes"), () => causes.map(causeCard));
}

function causeCard(cause, place) {
  const state = STATES[cause.state];
  const key = `${state}/${cause.name}/${cause.retries}`;
  const title = cause.name || capital(STATE_WORDS[state]);
  return h("article", { class: `cause s-${state}`, "aria-labelledby": `cause-${place}` },
    h("h3", { id: `cause-${place}` },
      h("span", { class: `label s-${state}` }, icon(state), `${count(cause.count)} ${state}`),
      h("span", { class: cause.name ? "name" : "name plain-name", text: title })),
    cause.message ? h("p", { class: "message", text: cause.message }) : null,
    h("p", { class: "advice" }, h("span", { class: "do", text: "What to do" }), " ", ...backticked(capital(cause.advice) + ".")),
    cause.resume_after ? h("p", { class: "advice" }, "Not before ", time(cause.resume_after), " UTC.") : null,
    h("p", { class: "examples" },
      ...cause.ids.flatMap((id, at) => [at ? ", " : "", h("code", { class: "id", text: id })]),
      cause.count > cause.ids.length ? ` and ${count(cause.count - cause.ids.length)} more` : ""),
    h("p", { class: "next" },
      h("button", { type: "button", "data-key": key, on: { click: () => showCause(state, cause.name, cause.retries) } },
        `Show ${cause.count === 1 ? "this item" : `these ${counted(cause.count, "item")}`}`),
      h("code", { class: "command", text: cause.why })));
}

/** Return text, with what is between backticks as code. */
function backticked(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", { text: part }) : visible(part)));
}
