/* The live page: asks for the figures every two seconds and shows them. What is not known is said to be so. */
"use strict";

const EVERY = 2000; // ms
const ANSWER_WITHIN = 8000; // ms
const RATE_OVER = 10; // seconds that "a second" is averaged over
const BUCKET = 10, HOUR = 3600; // seconds
const FLUSHED_WITHIN = 4; // seconds after which all processes have told what they counted

const texts = JSON.parse(document.getElementById("texts").textContent);
const { stateUrl, loginUrl } = document.getElementById("settings").dataset;
const language = document.documentElement.lang;
const locale = language === "fa" ? "fa-IR" : "en";
const by = (id) => document.getElementById(id);

const points = new Map(); // the beginning of each ten seconds → its point
const seen = []; // the last answers' counts and times, for "a second"
let countsWereKnown = false;
let pass = document.getElementById("settings").dataset.pass; // good while PostgreSQL, which knows logins, is away

const number = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const shown = (value) => (value == null ? "–" : value > 0 && value < 10 ? small.format(value) : number.format(value));
const share = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

function parts(seconds) {
  const { ms, s, min, h, day } = texts.units;
  if (seconds == null) return ["–", ""];
  if (seconds < 1) return [shown(seconds * 1000), ms];
  if (seconds < 100) return [small.format(seconds), s];
  if (seconds < 6000) return [number.format(seconds / 60), min];
  if (seconds < 360000) return [number.format(seconds / 3600), h];
  return [number.format(seconds / 86400), day];
}
const duration = (seconds) => parts(seconds).join(" ").trim();

const sumOf = (counts, name) =>
  Object.entries(counts).reduce((sum, [key, count]) => (key.startsWith(`${name}:`) ? sum + count : sum), 0);

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function row(name, said, ok, ...more) {
  const item = element("li", "", { "data-ok": ok ? "yes" : "no" });
  const line = element("div", "", { class: "row" });
  line.append(element("b", name), element("span", said));
  item.append(line, ...more);
  return item;
}

// -- asking

async function ask() {
  const known = [...points.keys()];
  // The newest points still grow; after an absence of Redis all of them may have.
  const since = countsWereKnown && known.length ? Math.max(...known) - 3 * BUCKET : 0;
  const answer = await fetch(`${stateUrl}?since=${since}`, {
    headers: { Accept: "application/json", "X-Ops-Pass": pass },
    signal: AbortSignal.timeout(ANSWER_WITHIN),
  });
  if (answer.status === 403) return "login";
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

async function run() {
  try {
    const state = await ask();
    if (state === "login") {
      location.assign(loginUrl);
      return;
    }
    pass = state.pass ?? pass;
    show(state);
  } catch {
    status("lost");
  }
  setTimeout(run, document.hidden ? 5 * EVERY : EVERY);
}

function status(state) {
  by("status").dataset.state = state;
  by("status").textContent = texts.words[state];
}

// -- showing

function show(state) {
  status(state.degraded.length ? "degraded" : "well");
  countsWereKnown = Boolean(state.counts && state.points);
  for (const point of state.points ?? []) points.set(point.start, point);
  for (const start of points.keys()) if (start < state.time - HOUR - BUCKET) points.delete(start);
  const hour = [...points.values()].sort((a, b) => a.start - b.start);
  showBanner(state);
  showFigures(state, hour);
  showFlow(state);
  showServers(state);
  showRefusals(state, hour);
  showProcesses(state);
  showCampaigns(state);
  showCodes(state, hour);
  showCharts(state, hour);
}

function showBanner({ degraded, counts }) {
  const lines = degraded.map((name) => {
    const line = element("li");
    line.append(element("b", `${texts.servers[name]}: `), texts.without[name]);
    return line;
  });
  if (!counts) lines.push(element("li", texts.words.unknown_counts));
  const said = lines.map((line) => line.textContent).join("\n");
  const banner = by("banner");
  banner.hidden = !lines.length;
  if (banner.dataset.said === said) return; // a screen reader would say it again
  banner.dataset.said = said;
  const list = element("ul");
  list.append(...lines);
  banner.replaceChildren(list);
}

function rates(state) {
  if (!state.counts) {
    seen.length = 0;
    return {};
  }
  const { time, counts } = state;
  const now = { time, accepted: sumOf(counts, "accepted"), stored: counts.stored ?? 0, refused: sumOf(counts, "refused") };
  if (seen.length && seen.at(-1).accepted > now.accepted) seen.length = 0; // Redis was emptied
  seen.push(now);
  while (seen.length > 2 && seen[1].time <= now.time - RATE_OVER) seen.shift();
  const first = seen[0], span = now.time - first.time;
  if (span < 1) return {};
  const rate = (name) => (now[name] - first[name]) / span;
  return { accepted: rate("accepted"), stored: rate("stored"), refused: rate("refused") };
}

function showFigures(state, hour) {
  const { accepted, stored, refused } = rates(state);
  const known = Boolean(state.counts);
  const inHour = (of) => hour.reduce((sum, point) => sum + of(point), 0);
  const more = (count) => (known ? fill(texts.words.in_hour, { count: number.format(count) }) : texts.words.unknown);
  by("accepted").textContent = shown(accepted);
  by("accepted-more").textContent = more(inHour((point) => point.accepted));
  by("stored").textContent = shown(stored);
  by("stored-more").textContent = more(inHour((point) => point.stored));
  [by("p99").textContent, by("p99-unit").textContent] = parts(state.latency?.p99);
  by("p50").textContent =
    state.latency?.p50 == null ? texts.words.last_minute : fill(texts.words.median, { time: duration(state.latency.p50) });
  [by("oldest").textContent, by("oldest-unit").textContent] = parts(state.gauges.oldest);
  by("refused").textContent = shown(refused);
  by("refused-more").textContent = more(inHour(refusedIn));
  const flows = { web: accepted, rabbitmq: stored, workers: stored };
  for (const [name, rate] of Object.entries(flows))
    document.querySelector(`[data-part="${name}"]`).dataset.flows = rate > 0 ? "yes" : "no";
}

const aSecond = (count) => (count == null ? null : count / BUCKET);
const refusedIn = (point) => Object.values(point.refused).reduce((sum, count) => sum + count, 0);
const said = (state) => texts.words[state.replaceAll(" ", "_")] ?? texts.words.does_not_answer;

function showFlow({ gauges, dependencies, processes, degraded }) {
  const webs = processes?.filter((one) => one.role === "web" && one.silent == null).length;
  by("web").textContent = shown(webs);
  by("queue").textContent = shown(gauges.queue);
  by("workers").textContent = shown(gauges.workers);
  by("spool").textContent = shown(gauges.spool_rows);
  by("dead").textContent = shown(gauges.dead_letters);
  by("parked").textContent = shown(gauges.parked);
  by("postgresql").textContent = said(dependencies.postgresql);
  by("redis").textContent = said(dependencies.redis);
  for (const part of document.querySelectorAll(".flow [data-part]")) {
    const name = part.dataset.part;
    const bad = degraded.includes(name) || (name === "dead" && gauges.dead_letters > 0);
    const unknown = (name === "workers" && gauges.workers == null) || (name === "dead" && gauges.dead_letters == null);
    part.dataset.ok = bad ? "no" : unknown ? "unknown" : "yes";
  }
}

function showServers({ dependencies }) {
  by("servers").replaceChildren(
    ...Object.entries(dependencies).map(([name, state]) =>
      row(texts.servers[name], said(state), state === "ok", element("p", `${texts.words.without} ${texts.without[name]}`)),
    ),
  );
}

function showRefusals({ counts }, hour) {
  const reasons = {};
  for (const point of hour)
    for (const [reason, count] of Object.entries(point.refused)) reasons[reason] = (reasons[reason] ?? 0) + count;
  const most = Math.max(...Object.values(reasons), 1);
  const lines = Object.entries(reasons)
    .sort((a, b) => b[1] - a[1])
    .map(([reason, count]) =>
      row(texts.reasons[reason] ?? reason, number.format(count), true, element("meter", "", { value: count, max: most, "aria-hidden": "true" })),
    );
  if (!lines.length) lines.push(element("li", counts ? texts.words.nothing_refused : texts.words.unknown));
  by("refusals").replaceChildren(...lines);
}

function showProcesses({ processes }) {
  const lines = (processes ?? []).map(({ name, silent, held }) => {
    const ill = silent != null || held > 10;
    const words =
      silent != null
        ? fill(texts.words.silent, { time: duration(silent) })
        : held > 10
          ? fill(texts.words.holds, { time: duration(held) })
          : texts.words.alive;
    return row(name, words, !ill);
  });
  by("processes").replaceChildren(...(lines.length ? lines : [element("li", texts.words.unknown)]));
}

/** The campaigns, unless all is said above of the only one there is. */
function showCampaigns({ campaigns }) {
  const section = by("campaigns");
  section.hidden = campaigns.length < 2 && campaigns[0]?.numbered == null;
  const [, ...figures] = Object.keys(texts.campaign_figures);
  const lines = campaigns.map((one) => {
    const line = element("tr");
    line.append(element("th", one.campaign, { scope: "row" }), ...figures.map((name) => element("td", shown(one[name]))));
    return line;
  });
  section.querySelector("tbody").replaceChildren(...lines);
}

function stateOfCodes({ courier, held_by: heldBy }) {
  if (courier === "") return "no_courier";
  return heldBy == null ? "unknown" : heldBy || "on";
}

/** Codes by SMS, where a campaign asks for them. */
function showCodes({ codes, counts }, hour) {
  if (!codes || !by("codes")) return;
  const { waiting, here, rate, parts, budget, courier } = codes;
  const state = stateOfCodes(codes);
  by("codes-sending").dataset.ok = state === "on" ? "yes" : state === "unknown" ? "unknown" : "no";
  by("codes-state").textContent = texts.codes_state[state];
  by("codes-why").textContent = texts.codes_why[state] ?? "";
  by("codes-courier").textContent = courier || "–";
  by("codes-waiting").textContent = shown(waiting);
  by("codes-here").textContent = here == null ? texts.words.unknown : fill(texts.codes.here, { count: number.format(here) });
  by("codes-rate").textContent = shown(rate);
  by("codes-parts").textContent = shown(parts);
  by("codes-budget").textContent = !budget
    ? texts.codes.no_budget
    : fill(texts.codes.of_budget, { share: parts == null ? "–" : share.format(parts / budget), budget: number.format(budget) });
  const [sent, typed] = ["codes_sent", "codes_typed"].map((name) => hour.reduce((sum, point) => sum + (point[name] ?? 0), 0));
  by("codes-typed").textContent = sent ? share.format(typed / sent) : "–";
  by("codes-sent").textContent = counts ? fill(texts.codes.sent, { count: number.format(sent) }) : texts.words.unknown;
}

// -- charts

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = [];

function chart(id, series, unit, least) {
  const box = by(id);
  const axis = { stroke: () => colour("--ink-soft"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false }, font: "12px sans-serif" };
  const lines = series.map(({ label, name, of }) => ({
    label: texts.charts[label],
    stroke: () => colour(name),
    fill: name === "--series-1" ? () => `color-mix(in srgb, ${colour(name)} 12%, transparent)` : undefined,
    width: name === "--series-1" ? 2 : 1.6,
    points: { show: false },
    spanGaps: false,
    of,
    value: (_, value) => (value == null ? "–" : unit(value)),
  }));
  const plot = new uPlot(
    {
      width: box.clientWidth,
      height: 184,
      padding: [10, 22, 0, 0],
      cursor: { sync: { key: "ops" }, points: { size: 7 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { x: { range: (_, __, last) => [last - HOUR, last] }, y: { range: (_, __, most) => [0, Math.max(most ?? 0, least) * 1.15] } },
      axes: [
        { ...axis, size: 28, space: 70, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })) },
        { ...axis, size: 58, space: 34, values: (_, ticks) => ticks.map(unit) },
      ],
      series: [{ label: "", value: (_, time) => (time == null ? "" : new Date(time * 1000).toLocaleTimeString(locale, { hourCycle: "h23" })) }, ...lines],
    },
    [[], ...lines.map(() => [])],
    box,
  );
  new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 184 })).observe(box);
  charts.push({ plot, series });
}

function showCharts({ time }, hour) {
  const whole = hour.filter((point) => point.start + BUCKET + FLUSHED_WITHIN <= time);
  const ends = [...whole.map((point) => point.start), Math.floor(time)];
  for (const { plot, series } of charts) {
    plot.setData([ends, ...series.map(({ of }) => [...whole.map((point) => of(point) ?? null), null])]);
    // Nobody points at a moment: the legend shows the last one.
    if (!(plot.cursor.left >= 0)) plot.setLegend({ idx: whole.length - 1 });
  }
}

chart(
  "chart-flow",
  [
    { label: "accepted", name: "--series-1", of: (point) => aSecond(point.accepted) },
    { label: "stored", name: "--series-2", of: (point) => aSecond(point.stored) },
  ],
  shown,
  1,
);
chart(
  "chart-latency",
  [
    { label: "p50", name: "--series-1", of: (point) => point.p50 },
    { label: "p99", name: "--series-2", of: (point) => point.p99 },
  ],
  duration,
  0.001,
);
chart(
  "chart-waiting",
  [
    { label: "queue", name: "--series-1", of: (point) => point.queue },
    { label: "spool_rows", name: "--series-2", of: (point) => point.spool_rows },
  ],
  shown,
  1,
);
chart("chart-refused", [{ label: "all_refused", name: "--series-2", of: (point) => (point.accepted == null ? null : aSecond(refusedIn(point))) }], shown, 1);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(({ plot }) => plot.redraw()));
run();
