// What the pages do beyond links and forms: live counters, keys, and how long ago times are.
"use strict";
(() => {
  const $ = (selector) => document.querySelector(selector);
  const kept = { get: () => { try { return localStorage.getItem("live"); } catch { return null; } },
                 set: (value) => { try { localStorage.setItem("live", value); } catch { /* private */ } } };

  // One stream a tab; other parts of the page listen to the body's events: "pulse" where a count
  // has changed, "reading" where the charts have one more.
  let stream = null, heard = 0, before = null, last = "";
  const says = (text) => { const spot = $("#stream"); if (spot) spot.textContent = text; };
  function listen() {
    const where = document.body.dataset.live;
    if (!where || stream || $("#live")?.value === "off") return;
    stream = new EventSource(where);
    stream.addEventListener("pulse", (message) => {
      heard = Date.now();
      const told = JSON.parse(message.data);
      for (const spot of document.querySelectorAll("[data-pulse]")) {
        const value = told[spot.dataset.pulse];
        spot.textContent = value ? Number(value).toLocaleString("en") : "";
      }
      says("");
      fresh(told);
      const { reading, ...counts } = told, now = JSON.stringify(counts);
      document.body.dispatchEvent(new CustomEvent("reading", { detail: reading }));
      if (now !== last) document.body.dispatchEvent(new CustomEvent("pulse"));
      last = now;
    });
    stream.addEventListener("trouble", (message) => says("⚠ " + JSON.parse(message.data).error));
    stream.addEventListener("full", () => says("⚠ too many pages are live; this one is not"));
    stream.onerror = () => says(heard ? "⚠ no live updates since " + new Date(heard).toLocaleTimeString() : "⚠ no live updates");
  }
  function deafen() { stream?.close(); stream = null; says(""); }

  // Rows never move under the pointer: a list says that there is more, and shows it when asked.
  function fresh(told) {
    const list = $("[data-fresh]");
    if (list) {
      const count = told[list.dataset.fresh];
      if (before !== null && count > before) {
        list.textContent = (count - before).toLocaleString("en") + " new — show";
        list.hidden = false;
      } else if (before === null) before = count;
    }
  }

  function ago() {
    for (const spot of document.querySelectorAll("time[datetime]")) {
      const seconds = (Date.now() - Date.parse(spot.dateTime)) / 1000;
      const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, s]) => Math.abs(seconds) >= s) ?? ["second", 1];
      spot.title = new Intl.RelativeTimeFormat("en").format(-Math.round(seconds / size), unit);
    }
  }

  function move(by) {
    const rows = [...document.querySelectorAll("[data-row]")];
    const at = rows.findIndex((row) => row.classList.contains("here"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
    if (!next) return;
    rows[at]?.classList.remove("here");
    next.classList.add("here");
    (next.querySelector("a") ?? next).focus();
    next.scrollIntoView({ block: "nearest" });
  }

  let going = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, [contenteditable]")) return;
    if (going) {
      going = false;
      const link = [...document.querySelectorAll("nav a[data-key]")].find((one) => one.dataset.key === event.key);
      if (link) { event.preventDefault(); link.click(); }
    } else if (event.key === "g") going = true;
    else if (event.key === "/") { event.preventDefault(); $("#search")?.focus(); }
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?") $("#help")?.showModal();
    else if (event.key === "r" && $("#live")) { $("#live").value = $("#live").value === "on" ? "off" : "on"; $("#live").dispatchEvent(new Event("change")); }
  });

  document.addEventListener("DOMContentLoaded", () => {
    const live = $("#live");
    if (live) {
      live.value = kept.get() === "off" ? "off" : "on";
      live.addEventListener("change", () => { kept.set(live.value); live.value === "off" ? deafen() : listen(); });
    }
    $("[data-fresh]")?.addEventListener("click", () => location.reload());
    const here = [...document.querySelectorAll("nav a[data-key]")].filter((one) => one.pathname === "/ops/" ? location.pathname === "/ops/" : location.pathname.startsWith(one.pathname))
      .sort((a, b) => b.pathname.length - a.pathname.length)[0];
    here?.setAttribute("aria-current", "page");
    // A form that is sent twice is sent once.
    for (const form of document.forms) if (form.method === "post") form.addEventListener("submit", () => {
      setTimeout(() => form.querySelectorAll("button").forEach((one) => { one.disabled = true; }));
    });
    listen(); ago(); setInterval(ago, 30000);
  });
  document.addEventListener("visibilitychange", () => document.hidden ? deafen() : listen());
  addEventListener("pagehide", deafen);
  addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
})();
