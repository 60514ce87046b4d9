// What persons did, above a chart: a link over each line on the time axis. The links are one stop
// of the Tab key, and the arrow keys go from one to the next. Lines too close to be told apart,
// or to be hit, are one with their number.
"use strict";
class Rail {
  static APART = 24; // pixels, which is as wide as a link is
  static TOLD = 5;

  // `told` is called with the words of the link that is pointed to, and null where none is any more.
  constructor(plot, told) {
    this.told = told;
    this.groups = [];
    this.links = new Map();
    this.place = document.createElement("div");
    this.place.className = "rail";
    this.place.hidden = true;
    this.place.setAttribute("role", "group");
    this.place.setAttribute("aria-label", "What persons did; arrow keys go from one to the next");
    this.place.addEventListener("keydown", (event) => this.key(event));
    plot.before(this.place);
  }

  // Pins in order of time; `across` says how far from the left, in pixels of the page, a moment is.
  show(pins, across) {
    this.groups = [];
    for (const pin of pins) {
      const left = across(pin.at), group = this.groups.at(-1);
      if (group && left - group.left < Rail.APART) group.pins.push(pin);
      else this.groups.push({ left, at: pin.at, pins: [pin] });
    }
    this.place.hidden = !this.groups.length;
    this.renew();
  }

  // Links stay the same elements, so that who is on one stays there.
  renew() {
    const focused = [...this.links.values()].find((link) => link === document.activeElement);
    const before = this.links;
    this.links = new Map(this.groups.map((group) => [group.pins[0].id, before.get(group.pins[0].id) ?? this.link()]));
    for (const [id, link] of before) if (!this.links.has(id)) link.remove();
    [...this.links.values()].forEach((link, n) => {
      if (this.place.children[n] !== link) this.place.insertBefore(link, this.place.children[n] ?? null);
      this.fill(link, this.groups[n]);
    });
    const links = [...this.links.values()];
    const here = links.find((link) => link.pins.some((pin) => focused?.pins.includes(pin) || pin.id === this.here));
    this.stop(here ?? links.at(-1));
    if (focused && !focused.isConnected) here?.focus();
  }

  link() {
    const link = document.createElement("a"), sign = document.createElement("span");
    sign.setAttribute("aria-hidden", "true");
    link.append(sign);
    link.addEventListener("focus", () => { this.stop(link); this.tell(link); });
    link.addEventListener("blur", () => this.tell(null));
    link.addEventListener("mouseenter", () => this.tell(link));
    link.addEventListener("mouseleave", () => this.tell([...this.links.values()].find((one) => one === document.activeElement)));
    return link;
  }

  tell(link) {
    this.told(link?.getAttribute("aria-label") ?? null);
  }

  fill(link, group) {
    const [first, last] = [group.pins[0], group.pins.at(-1)];
    link.pins = group.pins;
    link.href = first === last ? first.link : Rail.page(group.pins);
    link.firstChild.textContent = first === last ? "▾" : String(group.pins.length);
    link.setAttribute("aria-label", Rail.words(group.pins));
    link.style.left = `${group.left - Rail.APART / 2}px`;
  }

  stop(link) {
    for (const one of this.links.values()) one.tabIndex = one === link ? 0 : -1;
    this.here = link?.pins[0].id;
  }

  key(event) {
    const links = [...this.links.values()], here = links.indexOf(document.activeElement);
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    links[Math.min(links.length - 1, Math.max(0, to))].focus();
  }

  static words(pins) {
    const said = pins.slice(0, Rail.TOLD).map((pin) => `${Rail.clock(pin.at)} ${pin.word}`), more = pins.length - said.length;
    return (pins.length > 1 ? `${pins.length}: ` : "") + said.join("; ") + (more ? `; and ${more} more` : "");
  }

  // Of several, the page that has them all: that of what persons did, in their time.
  static page(pins) {
    if (!pins.some((pin) => pin.link.startsWith("/ops/audit?"))) return "/ops/operations";
    const ends = [Math.floor(pins[0].at), Math.floor(pins.at(-1).at) + 1].map((at) => new Date(at * 1000).toISOString());
    return "/ops/audit?" + new URLSearchParams({ since: ends[0], until: ends[1] });
  }

  static clock(at) {
    return new Date(at * 1000).toISOString().slice(11, 19);
  }
}
