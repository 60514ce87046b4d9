// Charts of the readings, drawn by uPlot. What is not known is a gap; an error is told, and never
// looks like a chart without lines. Figures can be read by mouse, by keys and in a table. Where
// persons did something there is a line, with a link above it (rail.js).
"use strict";
(() => {
  const DASHES = [[], [7, 4], [2, 3], []], WIDTHS = [2, 2, 2, 1];
  const HEIGHT = 190, PAGE = 30, AGAIN_SECONDS = 30;
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
  const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);
  const day = (at) => new Date(at * 1000).toISOString().slice(0, 10);
  function time(seconds) {
    if (seconds < 1) return number.format(seconds * 1000) + " ms";
    return seconds < 60 ? number.format(seconds) + " s" : number.format(seconds / 60) + " min";
  }
  const UNITS = { rate: (value) => number.format(value) + "/s", count: (value) => number.format(value), seconds: time };
  const decade = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
  const live = () => document.querySelector("#live")?.value !== "off" && !document.hidden;

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.column = figure.dataset.chart;
      this.unit = figure.dataset.unit;
      this.title = figure.querySelector("figcaption").textContent;
      this.plot = figure.querySelector(".plot");
      this.readout = figure.querySelector(".readout");
      this.hidden = new Set();
      this.at = null;
      this.pins = [];
      this.pointed = null;
      this.rail = new Rail(this.plot, (words) => this.tell(words));
      this.plot.addEventListener("keydown", (event) => this.key(event));
      this.plot.addEventListener("blur", () => this.point(null));
      new ResizeObserver(() => this.fit()).observe(this.plot);
    }

    show(told) {
      const names = Object.keys(told[this.column]);
      const columns = [told.at, ...names.map((name) => told[this.column][name])];
      this.told = told;
      this.figure.hidden = !columns.slice(1).some((column) => column.some((value) => value !== null));
      if (this.figure.hidden) return;
      this.names = names;
      this.columns = columns;
      if (!this.drawn) { this.keys(); this.draw(); } else this.drawn.setData(columns);
      this.describe();
    }

    // Pins of after what is drawn are shown with the next reading.
    pin(drawn) {
      const { until, seconds } = this.told, pen = drawn.ctx, box = drawn.bbox;
      const begin = drawn.over.getBoundingClientRect().left - this.plot.getBoundingClientRect().left;
      const shown = this.pins.filter((pin) => pin.at >= until - seconds && pin.at <= until);
      this.rail.show(shown, (at) => begin + drawn.valToPos(at, "x"));
      pen.save();
      pen.strokeStyle = getComputedStyle(this.figure).getPropertyValue("--pin");
      pen.lineWidth = Math.max(1, Math.round(uPlot.pxRatio));
      pen.setLineDash([pen.lineWidth * 6, pen.lineWidth * 2]);
      pen.beginPath();
      for (const group of this.rail.groups) {
        const left = Math.round(drawn.valToPos(group.at, "x", true)) + (pen.lineWidth % 2) / 2;
        pen.moveTo(left, 0);
        pen.lineTo(left, box.top + box.height);
      }
      pen.stroke();
      pen.restore();
    }

    draw() {
      this.drawn?.destroy();
      const style = getComputedStyle(this.figure);
      const ink = style.getPropertyValue("--chart-ink"), grid = style.getPropertyValue("--chart-grid");
      const scale = this.unit === "seconds" ? { distr: 3, range: this.decades.bind(this) } : { range: (_, least, most) => [0, Math.max(1, most ?? 0) * 1.05] };
      const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "12px system-ui" };
      const filter = (_, ticks) => this.unit === "seconds" ? ticks.map((value) => decade(value) ? value : null) : ticks;
      this.drawn = new uPlot({
        width: this.plot.clientWidth, height: HEIGHT, legend: { show: false },
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        cursor: { drag: { x: false, y: false }, y: false },
        scales: { x: { time: true, range: () => [this.told.until - this.told.seconds, this.told.until] }, y: scale },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((at) => clock(at).slice(0, 5)), space: 60, size: 30 },
          { ...axis, grid: { ...axis.grid, filter }, ticks: { ...axis.ticks, filter }, values: (_, ticks) => ticks.map((value) => value === null ? "" : UNITS[this.unit](value)), size: 70 },
        ],
        series: [{}, ...this.names.map((name, n) => ({
          label: name, show: !this.hidden.has(name), stroke: style.getPropertyValue(`--line-${n + 1}`), width: WIDTHS[n], dash: DASHES[n],
          points: { size: 5, filter: (_, index, shown) => shown ? null : this.alone(index) },
        }))],
        hooks: { setCursor: [() => this.moved()], draw: [(drawn) => this.pin(drawn)] },
      }, this.columns, this.plot);
    }

    // A scale of whole powers of ten, since a tenth of a second and an hour are on the same chart.
    decades(_, least, most) {
      const low = Math.floor(Math.log10(least > 0 ? least : 0.1)), high = Math.ceil(Math.log10(most > 0 ? most : 1));
      return [10 ** low, 10 ** Math.max(high, low + 1)];
    }

    // Between two gaps there is no line to draw, but there is a value.
    alone(index) {
      const column = this.columns[index], blank = (at) => (column[at] ?? null) === null;
      return [...column.keys()].filter((at) => !blank(at) && blank(at - 1) && blank(at + 1));
    }

    keys() {
      this.figure.querySelector(".keys").replaceChildren(...this.names.map((name, n) => {
        const button = document.createElement("button"), line = document.createElement("span"), value = document.createElement("span");
        button.type = "button";
        button.className = "quiet";
        button.setAttribute("aria-pressed", "true");
        line.className = `line line-${n + 1}`;
        line.setAttribute("aria-hidden", "true");
        value.dataset.value = name;
        button.append(line, ` ${name} `, value);
        button.addEventListener("click", () => {
          const shown = this.hidden.delete(name) || !this.hidden.add(name);
          button.setAttribute("aria-pressed", String(shown));
          this.drawn.setSeries(n + 1, { show: shown });
        });
        return button;
      }));
    }

    describe() {
      const last = this.columns[0].length - 1;
      this.names.forEach((name, n) => { this.figure.querySelector(`[data-value="${name}"]`).textContent = this.say(n + 1, last); });
      this.plot.setAttribute("aria-label", `${this.title}, ${day(this.told.until)} from ${clock(this.told.until - this.told.seconds)} to ${clock(this.told.until)} UTC. ${this.sentence(last)}. Arrow keys read other moments; the table has all figures.`);
      this.moved();
    }

    say(series, index) {
      const value = this.columns[series][index];
      if ((value ?? null) !== null) return UNITS[this.unit](value);
      return this.unit === "seconds" && this.told.per_second.done[index] === 0 ? "nothing done" : "not known";
    }

    sentence(index) {
      return `${clock(this.columns[0][index])}: ` + this.names.map((name, n) => `${name} ${this.say(n + 1, index)}`).join(", ");
    }

    key(event) {
      const last = this.columns[0].length - 1, here = this.at ?? last + 1;
      const to = { ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - PAGE, PageDown: here + PAGE, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.point(null);
      if (to === undefined) return;
      event.preventDefault();
      this.readout.setAttribute("aria-live", "polite");
      this.point(Math.min(last, Math.max(0, to)));
    }

    point(index) {
      this.at = index;
      const left = index === null ? -10 : this.drawn.valToPos(this.columns[0][index], "x");
      this.drawn?.setCursor({ left, top: index === null ? -10 : HEIGHT / 3 });
      this.moved();
    }

    // Long words keep their room when they go, or what is clicked below would move away under it.
    tell(words) {
      this.pointed = words;
      this.moved();
      if (words !== null) this.readout.style.minHeight = `${this.readout.offsetHeight}px`;
    }

    moved() {
      if (!this.drawn) return;
      const index = this.at ?? this.drawn.cursor.idx ?? null;
      if (this.at === null) this.readout.removeAttribute("aria-live");
      if (this.pointed !== null) this.readout.textContent = this.pointed;
      else this.readout.textContent = index === null || index >= this.columns[0].length ? "" : this.sentence(index);
    }

    fit() {
      if (this.drawn && this.plot.clientWidth) this.drawn.setSize({ width: this.plot.clientWidth, height: HEIGHT });
      this.readout.style.minHeight = "";
    }
  }

  async function ask(where) {
    const answer = await fetch(where, { headers: { accept: "application/json" } }), told = await answer.json();
    if (!answer.ok) throw new Error(told.error ?? `the console answered ${answer.status}`);
    return told;
  }

  class Course {
    constructor(place) {
      this.where = place.dataset.readings;
      this.pins = place.dataset.pins;
      this.notes = place.querySelector("[data-notes]");
      this.figures = place.querySelector("[data-figures]");
      this.charts = [...place.querySelectorAll("[data-chart]")].map((figure) => new Chart(figure));
      this.newest = null;
      this.figures.addEventListener("toggle", () => this.table());
    }

    async load() {
      const [readings, pins] = await Promise.allSettled([ask(this.where), ask(this.pins)]);
      if (readings.status === "rejected") {
        this.say([`could not load the charts: ${readings.reason.message}` + (this.shown ? `; they show what was known at ${clock(this.shown)} UTC` : "")], "bad");
        return;
      }
      const told = readings.value;
      this.newest = told.newest;
      this.shown = told.until;
      this.step = told.step;
      for (const chart of this.charts) { chart.pins = pins.value?.pins ?? chart.pins; chart.show(told); }
      const quiet = this.charts.filter((chart) => chart.figure.hidden).map((chart) => `${chart.title}: nothing to show yet`);
      const lost = pins.status === "rejected" ? [`could not load what persons did: ${pins.reason.message}`] : pins.value.notes;
      this.say([...told.notes, ...(told.at.length ? quiet : []), ...lost], pins.status === "rejected" ? "bad" : "wait");
      this.table();
    }

    say(notes, kind) {
      const text = notes.map((note) => "⚠ " + note).join(" ");
      this.notes.className = kind;
      if (this.notes.textContent !== text) this.notes.textContent = text;
    }

    table() {
      if (this.figures.open) for (const part of this.figures.querySelectorAll("[hx-get]")) part.dispatchEvent(new CustomEvent("figures"));
    }

    // A reading is heard of by the stream; that none comes any more is seen by looking anyway.
    heard(reading) {
      if (this.newest === null || reading - this.newest >= this.step) this.load();
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const courses = [...document.querySelectorAll("[data-readings]")].map((place) => new Course(place));
    for (const course of courses) course.load();
    document.body.addEventListener("reading", (event) => courses.forEach((course) => course.heard(event.detail)));
    setInterval(() => { if (live()) courses.forEach((course) => course.load()); }, AGAIN_SECONDS * 1000);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const course of courses) for (const chart of course.charts) if (chart.drawn) chart.draw();
    });
  });
})();
