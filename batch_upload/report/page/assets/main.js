// Draws everything once, and again at each change.

function drawAll({ keep = false } = {}) {
  drawOverview();
  drawLanes();
  drawAttention();
  drawTimeline();
  refilter({ keep });
  drawSheet();
}

function start() {
  const data = $("data");
  applyChanges(JSON.parse(data.textContent));
  data.remove(); // its values are read; the text would only take memory
  $("search").addEventListener("input", (event) => searchFor(event.target.value));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", (event) => { event.preventDefault(); clearFilters(); $("search").focus(); });
  $("rows").addEventListener("keydown", onKey);
  $("viewport").addEventListener("scroll", () => requestAnimationFrame(() => drawRows()), { passive: true });
  addEventListener("resize", () => requestAnimationFrame(() => { drawTimeline(); drawRows({ force: true }); }));
  addEventListener("beforeprint", () => setPrinting(true));
  const paper = matchMedia("print");
  addEventListener("afterprint", () => setPrinting(paper.matches));
  paper.addEventListener("change", () => setPrinting(paper.matches));
  addEventListener("hashchange", followAddress);
  $("sheet").addEventListener("close", sheetClosed);
  $("sheet-close").addEventListener("click", () => $("sheet").close());
  $("sheet-print").addEventListener("click", () => print());
  $("more-lanes").addEventListener("click", () => { lanesShown.all = !lanesShown.all; drawLanes(); });
  drawAll();
  followAddress();
  document.documentElement.dataset.ready = "yes";
  if (document.documentElement.dataset.mode === "live") listen();
}

/** Receive changes from the server; connect again after the connection was lost, from the same revision. */
function listen() {
  const shown = $("live");
  shown.hidden = false;
  let source = null;
  const setStatus = (kind, text) => { shown.dataset.kind = kind; if (shown.textContent !== text) shown.textContent = text; };
  const connect = () => {
    source = new EventSource(`changes?since=${model.revision}`);
    source.addEventListener("open", () => setStatus("on", "Live"));
    source.addEventListener("changes", (event) => { applyChanges(JSON.parse(event.data)); drawAll({ keep: true }); });
    source.addEventListener("ended", () => { source.close(); setStatus("off", "Ended: `watch` was stopped"); });
    source.addEventListener("error", () => {
      setStatus("off", "Connection lost, trying again");
      source.close();
      setTimeout(connect, 2000);
    });
  };
  connect();
}

start();
