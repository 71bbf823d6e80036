"use strict";
(() => {
  const live = document.getElementById("live");
  const link = document.getElementById("link");
  const say = (text) => {
    if (link.textContent !== text) link.textContent = text;
  };
  let last = "";
  const show = (fragment) => {
    // What has the focus, or was scrolled, is found again by its id.
    const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
    const scrolled = Array.from(live.querySelectorAll(".wide[id]"), (one) => [one.id, one.scrollLeft]);
    live.innerHTML = fragment;
    for (const [id, left] of scrolled) {
      const one = document.getElementById(id);
      if (one) one.scrollLeft = left;
    }
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    const title = live.querySelector("h1");
    if (title) document.title = `${title.textContent.trim()} · ${live.querySelector(".what").textContent}`;
  };
  const listen = () => {
    const source = new EventSource(last ? `events?last=${encodeURIComponent(last)}` : "events");
    source.addEventListener("open", () => say("Live: it goes on by itself."));
    source.addEventListener("message", (event) => {
      last = event.lastEventId;
      show(event.data);
    });
    source.addEventListener("error", () => {
      say("Not connected: the command has ended, or starts again. What stands here is what was told last.");
      // A browser tries again by itself, but for an answer that is no stream.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
    });
  };
  listen();
})();
