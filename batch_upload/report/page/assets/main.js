// Everything is drawn once, and again when there is news.

function drawAll({ keep = false } = {}) {
  drawOverview();
  drawAttention();
  drawCourse();
  refilter({ keep });
}

function begin() {
  const data = $("data");
  take(JSON.parse(data.textContent));
  data.remove(); // the values are in hand; the text would only take room
  $("search").addEventListener("input", (event) => searchFor(event.target.value));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", (event) => { event.preventDefault(); clearFilters(); $("search").focus(); });
  $("rows").addEventListener("keydown", onKey);
  $("viewport").addEventListener("scroll", () => requestAnimationFrame(() => drawRows()), { passive: true });
  addEventListener("resize", () => requestAnimationFrame(() => { drawCourse(); drawRows({ anew: true }); }));
  addEventListener("beforeprint", () => print(true));
  const paper = matchMedia("print");
  addEventListener("afterprint", () => print(paper.matches));
  paper.addEventListener("change", () => print(paper.matches));
  drawAll();
  document.documentElement.dataset.ready = "yes";
  if (document.documentElement.dataset.mode === "live") listen();
}

/** Changes come by themselves; a connection that was lost is taken up where it ended. */
function listen() {
  const shown = $("live");
  shown.hidden = false;
  let source = null;
  const say = (kind, text) => { shown.dataset.kind = kind; if (shown.textContent !== text) shown.textContent = text; };
  const connect = () => {
    source = new EventSource(`changes?since=${known.revision}`);
    source.addEventListener("open", () => say("on", "Live"));
    source.addEventListener("changes", (event) => { take(JSON.parse(event.data)); drawAll({ keep: true }); });
    source.addEventListener("ended", () => { source.close(); say("off", "Ended: `watch` was stopped"); });
    source.addEventListener("error", () => {
      say("off", "Connection lost, trying again");
      source.close();
      setTimeout(connect, 2000);
    });
  };
  connect();
}

begin();
