// Values as text, and elements. Text goes into the page as text, never as markup.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const JOINERS = new Set(["\u200c", "\u200d"]); // invisible, but part of how Persian and emoji are spelled
const SHORT = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };
const NUMBER = new Intl.NumberFormat("en");

/** Return the text with every character that moves, hides or reorders others as an escape. */
function visible(text) {
  return String(text).replace(HIDDEN, (char) => {
    if (JOINERS.has(char)) return char;
    const code = char.codePointAt(0);
    if (SHORT[char]) return SHORT[char];
    if (code < 0x100) return "\\x" + code.toString(16).padStart(2, "0");
    return code < 0x10000 ? "\\u" + code.toString(16).padStart(4, "0") : "\\U" + code.toString(16).padStart(8, "0");
  });
}

/** Create an element with attributes, `text`, `on` (listeners) and children. */
function h(name, given = {}, ...children) {
  const element = document.createElement(name);
  fill(element, given, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
function s(name, given = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  fill(element, given, children);
  return element;
}

function fill(element, given, children) {
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") element.textContent = visible(value);
    else if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

const TAIL = 12; // columns at the end of a name that stay in sight, as in page.css
const SIGNS = new Intl.Segmenter("en");

/** Return an element whose text is cut in the middle where there is no room for it: names often differ at their end. */
function clipped(text, given = {}) {
  const shown = visible(text);
  const signs = /^[ -~]*$/.test(shown) ? [...shown] : Array.from(SIGNS.segment(shown), (each) => each.segment);
  let [from, columns] = [signs.length, 0];
  while (from > 0 && columns + columnsOf(signs[from - 1]) <= TAIL) columns += columnsOf(signs[--from]);
  const [head, tail] = [signs.slice(0, from).join(""), signs.slice(from).join("")];
  return h("span", { class: "clip", dir: "auto", title: shown, ...given },
    head ? h("span", { class: "head", text: head }) : null, h("span", { class: "tail", text: tail }));
}

const columnsOf = (sign) => (/^[ -~]$/.test(sign) ? 1 : 2); // at most: only some others are wide

function icon(state) {
  return s("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, s("use", { href: "#i-" + state }));
}

const $ = (id) => document.getElementById(id);

const count = (number) => NUMBER.format(number);
const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Return `2026-11-23 14:00:05`, UTC. */
function moment(ms, { millis = false } = {}) {
  const text = new Date(ms).toISOString();
  return text.slice(0, 10) + " " + text.slice(11, millis ? 23 : 19);
}

function time(ms, options) {
  if (ms === null || ms === undefined) return h("span", { class: "none", text: "–" });
  return h("time", { datetime: new Date(ms).toISOString(), text: moment(ms, options) });
}

/** Return `0.4 s`, `45 s`, `6 min 10 s`, `1 h 20 min`, `2 d 3 h`. */
function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(seconds < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 600) return twoUnits(whole, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 1440) return twoUnits(minutes, 60, "h", "min");
  return twoUnits(Math.round(seconds / 3600), 24, "d", "h");
}

function twoUnits(amount, unit, above, below) {
  const rest = amount % unit;
  return rest ? `${Math.floor(amount / unit)} ${above} ${rest} ${below}` : `${amount / unit} ${above}`;
}

/** Return a size in decimal units, as the manifest's `KB`. */
function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes < 1000) return counted(bytes, "byte");
  const step = bytes < 999_500 ? [1e3, "KB"] : bytes < 999.5e6 ? [1e6, "MB"] : [1e9, "GB"];
  const amount = bytes / step[0];
  return `${amount < 9.95 ? amount.toFixed(1) : count(Math.round(amount))} ${step[1]}`;
}

function rate(perSecond) {
  if (perSecond === 0) return "0";
  if (perSecond < 1) return perSecond.toFixed(2);
  return perSecond < 99.95 ? perSecond.toFixed(1) : count(Math.round(perSecond));
}
