// A column chart over time as SVG. Each series has its own colour and pattern.

const PLOT = { height: 248, left: 46, right: 16, top: 18, bottom: 44 };
const SERIES = [
  { key: "accepted", label: "accepted", kinds: ["accepted"] },
  { key: "throttled", label: "throttled", kinds: ["throttled"] },
  { key: "failed", label: "refused or denied", kinds: ["refused", "denied"] },
  { key: "silent", label: "without an answer", kinds: ["unknown"] },
  { key: "full", label: "no capacity", kinds: ["no_capacity"] },
];

/** Return the steps of a run from the first to the last, without gaps, with counts by series. */
function stepsOf(run) {
  const last = run.steps.reduce((most, [number]) => Math.max(most, number), 0);
  const steps = Array.from({ length: last + 1 }, (_, number) => ({ number, counts: SERIES.map(() => 0), total: 0 }));
  for (const [number, kind, many] of run.steps) {
    const series = SERIES.findIndex((each) => each.kinds.includes(KINDS[kind]));
    if (series < 0) continue;
    steps[number].counts[series] += many;
    steps[number].total += many;
  }
  return steps;
}

function patterns() {
  const hatch = (id, ...marks) =>
    s("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { width: 6, height: 6, class: `ground ${id}` }), ...marks);
  const line = (given) => s("rect", { class: "mark", ...given });
  return s("defs", {},
    hatch("p-throttled", line({ width: 2, height: 6 })),
    hatch("p-failed", line({ width: 1.6, height: 6 }), line({ width: 6, height: 1.6 })),
    hatch("p-silent", line({ width: 2, height: 2 })),
    hatch("p-full", line({ width: 6, height: 3 })));
}

const fillOf = (key) => (key === "accepted" ? null : `url(#p-${key})`);

function drawChart(run, steps, pace, width) {
  const seconds = run.width;
  const top = Math.max(...steps.map((step) => step.total / seconds), 0);
  const shown = pace && pace.rate <= top * 2.5 ? pace : null;
  const scale = niceTop(Math.max(top, shown ? shown.rate * 1.08 : 0));
  const inner = { width: width - PLOT.left - PLOT.right, height: PLOT.height - PLOT.top - PLOT.bottom };
  const x = (step) => PLOT.left + (step / steps.length) * inner.width;
  const y = (value) => PLOT.top + inner.height * (1 - value / scale.top);
  return s("svg", { class: "columns", viewBox: `0 0 ${width} ${PLOT.height}`, width, height: PLOT.height, role: "img", "aria-label": chartDescription(run, steps, pace) },
    patterns(),
    ...yAxis(scale, y, width),
    ...steps.flatMap((step) => column(step, seconds, x, y)),
    ...xAxis(run, steps, x, width),
    ...(shown ? paceLine(shown, y, width) : []));
}

function niceTop(value) {
  if (value <= 0) return { top: 1, step: 1 };
  const rough = value / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
  return { top: Math.ceil(value / step - 1e-9) * step, step };
}

function yAxis(scale, y, width) {
  const lines = [s("text", { class: "unit", x: 0, y: 9, text: "create calls a second" })];
  for (let value = 0; value <= scale.top + scale.step / 2; value += scale.step) {
    const at = Math.round(y(value)) + 0.5;
    lines.push(s("line", { class: value === 0 ? "axis" : "grid", x1: PLOT.left, x2: width - PLOT.right, y1: at, y2: at }));
    lines.push(s("text", { class: "tick", x: PLOT.left - 8, y: at + 4, "text-anchor": "end", text: String(+value.toPrecision(3)) }));
  }
  return lines;
}

function column(step, seconds, x, y) {
  const gap = x(1) - x(0) > 5 ? 1 : 0;
  let below = 0;
  return step.counts.flatMap((many, series) => {
    if (!many) return [];
    const [from, to] = [y(below / seconds), y((below + many) / seconds)];
    below += many;
    const key = SERIES[series].key;
    return [s("rect", { class: `col ${key}`, fill: fillOf(key), x: x(step.number) + gap / 2, width: Math.max(1, x(1) - x(0) - gap), y: to, height: Math.max(0.5, from - to) })];
  });
}

/** Draw times under the axis, as many as have room; the first with its date. */
function xAxis(run, steps, x, width) {
  const span = steps.length * run.width;
  const room = Math.max(2, Math.floor((width - PLOT.left) / 120));
  const every = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
    .find((each) => span / each <= room) ?? span / room;
  const marks = [];
  const base = PLOT.height - PLOT.bottom;
  for (let at = 0; at <= span + 1e-9; at += every) {
    const place = x(at / run.width);
    const anchor = at === 0 ? "start" : place > width - 40 ? "end" : "middle";
    marks.push(s("line", { class: "axis", x1: place, x2: place, y1: base, y2: base + 5 }));
    marks.push(s("text", { class: "tick", x: place, y: base + 19, "text-anchor": anchor, text: at === 0 ? "start" : "+" + shortDuration(at) }));
    marks.push(s("text", { class: "tick far", x: place, y: base + 34, "text-anchor": anchor, text: moment(run.began + at * 1000).slice(at === 0 ? 0 : 11) }));
  }
  return marks;
}

const shortDuration = (seconds) => (seconds < 1 ? `${seconds.toFixed(1)} s` : duration(Math.round(seconds) * 1000).replace(".0 s", " s"));

function paceLine(pace, y, width) {
  const at = y(pace.rate);
  return [
    s("line", { class: "pace", x1: PLOT.left, x2: width - PLOT.right, y1: at, y2: at }),
    s("text", { class: "pace-label", x: width - PLOT.right, y: 9, "text-anchor": "end", text: `rate learned: ${rate(pace.rate)}/s` }),
  ];
}

function chartDescription(run, steps, pace) {
  const sums = SERIES.map((series, place) => [series.label, steps.reduce((sum, step) => sum + step.counts[place], 0)]);
  const parts = sums.filter(([, many]) => many).map(([label, many]) => `${count(many)} ${label}`);
  const learned = pace ? ` The rate learned is ${rate(pace.rate)} calls a second.` : "";
  return `Create calls over time of run ${run.id}: ${parts.join(", ") || "none has ended"}.${learned} The table below has the same figures.`;
}
