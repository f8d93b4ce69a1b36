// The runs, the chart of one of them, and its figures as a table.

const PRINT_WIDTH = 640; // pixels of a chart on A4 and on Letter paper
const timeline = { chosen: null, drawn: "" };

function drawTimeline() {
  const { runs, pace, more_runs } = model.head;
  $("timeline").hidden = runs.length === 0;
  if (!runs.length) return;
  const run = runs.find((each) => each.id === timeline.chosen) ?? runs.find((each) => each.steps.length) ?? runs[0];
  const width = view.printing ? PRINT_WIDTH : Math.max(300, Math.floor($("chart").clientWidth));
  const drawn = JSON.stringify([runs, run.id, pace, width]);
  if (drawn === timeline.drawn) return;
  timeline.drawn = drawn;
  drawRuns(runs, run);
  drawRun(run, run === runs[0] ? pace : null, width);
  $("more-runs").hidden = !more_runs;
  $("more-runs").textContent = `The latest ${counted(runs.length, "run")} are shown; the ledger holds earlier ones.`;
}

function drawRun(run, pace, width) {
  const steps = stepsOf(run);
  $("chart-caption").replaceChildren(
    h("strong", { text: `Run ${run.id}` }), `, ${run.verb}, began `, time(run.began),
    ` UTC${run.who ? `, by ${visible(run.who)}` : ""}; a column is ${shortDuration(run.width)}`);
  const present = SERIES.filter((_, place) => steps.some((step) => step.counts[place]));
  $("legend").replaceChildren(...present.map((series) => h("li", {}, swatch(series.key), series.label)),
    ...(pace ? [h("li", {}, swatch("pace"), "rate learned")] : []));
  $("chart").replaceChildren(present.length ? drawChart(run, steps, pace, width) : h("p", { class: "note", text: "No attempt of this run has ended." }));
  $("figures").replaceChildren(figures(run, steps, present));
}

function swatch(key) {
  const mark = key === "pace" ? s("line", { class: "pace", x1: 0, x2: 18, y1: 6, y2: 6 }) : s("rect", { class: `col ${key}`, fill: fillOf(key), width: 18, height: 12 });
  return s("svg", { class: "swatch", viewBox: "0 0 18 12", width: 18, height: 12, "aria-hidden": "true" }, mark);
}

function figures(run, steps, present) {
  const columns = present.map((series) => SERIES.indexOf(series));
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "From" }), ...present.map((series) => h("th", { scope: "col", class: "num", text: series.label })))),
    h("tbody", {}, steps.filter((step) => step.total).map((step) =>
      h("tr", {}, h("th", { scope: "row" }, time(run.began + step.number * run.width * 1000)),
        ...columns.map((place) => h("td", { class: "num", text: count(step.counts[place]) }))))));
}

const RUN_COLUMNS = [
  ["accepted", (t) => t.accepted], ["throttled", (t) => t.throttled], ["failed", (t) => t.refused + t.denied],
  ["no answer", (t) => t.unknown], ["no capacity", (t) => t.no_capacity],
];

const RUN_TITLES = ["Run", "Began (UTC)", "Took", ...RUN_COLUMNS.map(([name]) => capital(name)), "How it ended"];
const isNumber = (place) => place >= 2 && place < RUN_TITLES.length - 1;

function drawRuns(runs, chosen) {
  const head = h("thead", {}, h("tr", {}, RUN_TITLES.map((text, place) => h("th", { scope: "col", class: isNumber(place) ? "num" : null, text }))));
  keepFocus($("runs"), () => [h("caption", { class: "hidden", text: "Runs, latest first" }), head, h("tbody", {}, runs.map((run) => runRow(run, run === chosen, runs.length > 1)))]);
}

function runRow(run, isChosen, isChoice) {
  const tally = Object.fromEntries(KINDS.map((kind, place) => [kind, run.tally[place]]));
  const name = isChoice
    ? h("button", { type: "button", class: "run", "data-key": run.id, "aria-pressed": String(isChosen), "aria-label": `Show run ${run.id}`, on: { click: () => chooseRun(run.id) } }, h("code", { text: run.id }))
    : h("code", { text: run.id });
  const end = run.ended ?? run.last;
  const cell = (place, given, ...children) => h("td", { "data-label": RUN_TITLES[place], ...given }, ...children);
  return h("tr", { class: isChosen && isChoice ? "chosen" : null },
    h("th", { scope: "row" }, name, h("span", { class: "verb", text: run.verb })), cell(1, {}, time(run.began)),
    cell(2, { class: "num", text: end === null ? "–" : duration(end - run.began) }),
    ...RUN_COLUMNS.map(([, of], at) => cell(3 + at, { class: of(tally) ? "num" : "num zero", text: count(of(tally)) })),
    cell(RUN_TITLES.length - 1, {}, h("span", {}, ...ending(run))));
}

function chooseRun(id) {
  timeline.chosen = id;
  drawTimeline();
}
