// The lanes of a manifest with targets: those that need attention first, each a choice of the items below.

const LANES_SHOWN = 20; // more are shown when asked for
const lanesShown = { all: false };

const lanesOf = () => model.head.lanes ?? [];
const laneName = (place) => lanesOf()[place]?.label ?? "";

/** Return how urgent a lane is; the most urgent is 0. */
function laneRank(lane) {
  const by = Object.fromEntries(STATES.map((state, place) => [state, lane.states[place]]));
  const total = lane.states.reduce((sum, many) => sum + many, 0);
  if (!lane.running && lane.exit !== null && lane.exit !== 0 && (lane.exit < 10 || (lane.exit >= 20 && lane.exit < 30))) return 0;
  if (lane.people || lane.denied) return 1;
  if (by.sending || by.parked) return 2;
  return by.complete < total ? 3 : 4;
}

function drawLanes() {
  const lanes = lanesOf();
  $("lanes").hidden = lanes.length < 2;
  if (lanes.length < 2) return;
  const ranked = lanes.map((lane, place) => ({ lane, place, rank: laneRank(lane) })).sort((a, b) => a.rank - b.rank || a.place - b.place);
  const ranks = (rank) => ranked.filter((each) => each.rank === rank).length;
  const parts = [[ranks(0) + ranks(1), "need a person", "needs a person"], [ranks(2) + ranks(3), "are not done", "is not done"], [ranks(4), "are complete", "is complete"]];
  $("lanes-words").textContent = `${counted(lanes.length, "lane")}: ${parts.filter(([many]) => many).map(([many, plural, one]) => `${count(many)} ${many === 1 ? one : plural}`).join(", ")}.`;
  const shown = lanesShown.all || view.printing ? ranked : ranked.slice(0, LANES_SHOWN);
  keepFocus($("lane-rows"), () => shown.map(laneRow));
  $("more-lanes").hidden = lanes.length <= LANES_SHOWN || view.printing;
  $("more-lanes").textContent = lanesShown.all ? `Show the first ${count(LANES_SHOWN)} only` : `Show all ${counted(lanes.length, "lane")}`;
  $("more-lanes").setAttribute("aria-expanded", String(lanesShown.all));
}

const LANE_TITLES = ["Lane", "Account", "Items by state", "Complete", "Needs a person", "Left", "How it ended"];

function laneRow({ lane, place }) {
  const by = Object.fromEntries(STATES.map((state, at) => [state, lane.states[at]]));
  const total = lane.states.reduce((sum, many) => sum + many, 0);
  const { people } = lane;
  const left = total - by.complete - people;
  const needed = people + lane.denied;
  const isChosen = filter.lane === place;
  const cell = (at, given, ...children) => h("td", { "data-label": LANE_TITLES[at], ...given }, ...children);
  return h("tr", { class: isChosen ? "chosen" : null },
    h("th", { scope: "row" }, h("button", { type: "button", class: "run", "data-key": `lane-${place}`, "aria-pressed": String(isChosen), title: visible(lane.label), on: { click: () => chooseLane(isChosen ? null : place) } },
      h("span", { class: "hidden", text: isChosen ? "Show the items of all lanes, not only of " : "Show the items of " }), h("code", { text: lane.label }))),
    cell(1, { class: "lane-account" }, lane.account ? h("code", { text: lane.account }) : "not known"),
    cell(2, { class: "lane-states" }, stateBar(lane.states, total)),
    cell(3, { class: "num", text: `${count(by.complete)} of ${count(total)}` }),
    cell(4, { class: needed ? "num people" : "num zero", text: count(needed) }),
    cell(5, { class: left ? "num" : "num zero", text: count(left) }),
    cell(6, {}, h("span", {}, ...laneEnding(lane))));
}

function laneEnding(lane) {
  if (lane.running) return [lane.holder ? `Running now: ${visible(lane.holder)}` : "Running now"];
  if (lane.exit === null) return ["Not run yet"];
  return [h("span", { class: exitClass(lane.exit), text: `Exit ${lane.exit}` }), lane.exit === 0 || !lane.reason ? "" : `, ${visible(lane.reason)}`];
}

function stateBar(states, total) {
  const named = inReadingOrder(STATES.map((state, place) => [state, states[place]])).filter(([, many]) => many);
  const bar = h("span", { class: "bar lane-bar", role: "img", "aria-label": named.map(([state, many]) => `${count(many)} ${state}`).join(", ") || "no item" });
  for (const [state, many] of named) {
    const part = h("span", { class: `part s-${state}` });
    part.style.flexGrow = many / total;
    bar.append(part);
  }
  return bar;
}

/** Show the items of one lane, or of all for null. */
function chooseLane(place) {
  filter.lane = place;
  refilter();
  drawLanes();
  if (place !== null) goToItems();
}
