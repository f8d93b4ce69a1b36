// The worker of the site's search (Material for MkDocs), in two ways different; loaded before the theme's own script.
// 1. A question is asked without its small words and its question mark. The search takes every word as the beginning of
//    one, so "do I" would find "documents", and "refused?" nothing.
// 2. Opened from a disk, where browsers start no workers, the search runs in a frame of the page.
// The file is named for what the theme's plugin `offline` looks for; else it would load a script of another host.
(() => {
  const SMALL = new Set(
    ("a an and are as at be been by can could did do does for from get had has have how i if in into is it its " +
      "let may me might my need of on or our shall should so that the their then there they this to was we were " +
      "what when where which who why will with would you your").split(" "));
  const QUERY = 2; // the theme's number for a message that asks

  function asked(message) {
    if (message.type !== QUERY) return message;
    const words = message.data.replace(/[?!,;]+(?=\s|$)/g, "").split(/\s+/);
    const large = words.filter((word) => !SMALL.has(word.toLowerCase()));
    return { ...message, data: (large.length ? large : words).join(" ") };
  }

  class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = frame.contentWindow;
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = inner.document.createElement("script");
      script.src = url;
      this.loaded = new Promise((resolve) => script.addEventListener("load", () => resolve(inner)));
      inner.document.body.append(script);
    }

    async postMessage(data) {
      const inner = await this.loaded;
      inner.dispatchEvent(new inner.MessageEvent("message", { data: asked(data) }));
    }
  }

  class AskedWorker extends Worker {
    postMessage(message) {
      super.postMessage(asked(message));
    }
  }

  window.Worker = location.protocol === "file:" ? FrameWorker : AskedWorker;
})();
