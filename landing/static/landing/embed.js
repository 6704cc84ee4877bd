// Registers a phone number, on any page: docs/landing-page.md. What is sent is kept in this browser first,
// and sent again, by one tab at a time, until the site has it or refuses it. Without storage: while the page is open.
(() => {
  if (window.Breakwater?.attachAll) return window.Breakwater.attachAll(); // the page has this script twice
  const DAY = 864e5; // ms; nothing is kept for longer
  const LOCK_WAIT = 3000; // ms
  const OPENING = 5000; // ms over which a campaign's first registrations are spread
  const NAME = "breakwater:";
  const FIRST = "breakwater-source";
  const SOURCES = /^(utm_(source|medium|campaign|term|content|id)|(g|fb|tt|tw|y)clid|msclkid|[gw]braid)$/; // campaigns/sources.py
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const isOffline = () => navigator.onLine === false;

  // ── What is kept, by key: {key, api, typed, more, since, next, why, asked, challenge, proof, receipt}

  let store = {};
  let tabsShareIt = false;
  try {
    localStorage[NAME] = "";
    delete localStorage[NAME];
    store = localStorage;
    tabsShareIt = true;
  } catch {} // forbidden

  function write(entry) {
    const text = JSON.stringify(entry);
    try {
      store[NAME + entry.key] = text;
    } catch {
      store = { [NAME + entry.key]: text }; // full
    }
  }

  function forget(key) {
    delete store[NAME + key];
  }

  function read(key) {
    try {
      const entry = JSON.parse(store[NAME + key]);
      const from = entry.why === "early" ? Math.max(entry.since, entry.next) : entry.since; // the opening may be next week
      if (entry.key === key && Date.now() - from < DAY && entry.since - Date.now() < DAY) return entry;
    } catch {} // not there, or not ours
    forget(key);
  }

  /** What is kept for an API's address, the newest first. */
  function kept(api) {
    const all = Object.keys(store).map((name) => name.startsWith(NAME) && read(name.slice(NAME.length)));
    return all.filter((entry) => entry?.api === api).sort((one, other) => other.since - one.since);
  }

  /**
   * Keeps what was typed, and more: what else the form asks for. The same again is the same registration.
   * Before the campaign opens (ms) nothing is sent, and then not all at once.
   */
  function keep(api, typed, more = {}, opens = 0) {
    const same = (one) => one.typed === typed && JSON.stringify(one.more || {}) === JSON.stringify(more);
    const entry = kept(api).find(same) || { key: newKey(), api, typed, more, since: Date.now(), next: 0 };
    if (opens > Date.now()) Object.assign(entry, { next: opens + Math.random() * OPENING, why: "early", asked: true });
    write(entry);
    return entry;
  }

  // ── What is sent beside the number

  /** The other fields of a form (ours are shorter than 300), and where its visitor came from at first. */
  function more(form) {
    const found = {};
    for (const { name, type, value, checked } of form.elements) {
      if (!name || /^(phone_number|key)$/.test(name) || /^(submit|button|password|file)$/.test(type)) continue;
      if (type === "checkbox" || type === "radio" ? checked : value.trim()) found[name] = value.slice(0, 300);
    }
    const source = firstSource();
    return source ? { ...found, source } : found;
  }

  /** What advertisements add to the page's address: the first that was seen, for 30 days. */
  function firstSource() {
    try {
      const first = JSON.parse(store[FIRST]);
      if (first.since > Date.now() - 30 * DAY) return first.source;
    } catch {} // none yet
    const seen = [...new URLSearchParams(location.search)].filter(([name, value]) => value && SOURCES.test(name));
    if (!seen.length) return;
    const source = Object.fromEntries(seen.reverse().map(([name, value]) => [name, value.slice(0, 256)])); // the first of a name
    try {
      store[FIRST] = JSON.stringify({ source, since: Date.now() });
    } catch {} // full: this page's only
    return source;
  }

  /** A UUID version 7: its time tells the site how old a question is. crypto.randomUUID needs https. */
  function newKey() {
    const hex = (number, length) => number.toString(16).padStart(length, "0");
    const time = hex(Date.now(), 12);
    const random = [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => hex(byte, 2)).join("");
    return `${time}7${random.slice(0, 3)}8${random.slice(3)}`.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  // ── The API

  async function call(url, { headers, ...options } = {}) {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), 10_000);
    try {
      const language = document.documentElement.lang || "fa";
      const response = await fetch(url, {
        cache: "no-store",
        signal: deadline.signal,
        headers: { Accept: "application/json, application/problem+json", "Accept-Language": language, ...headers },
        ...options,
      });
      const text = await response.text();
      return { status: response.status, body: parse(text), after: secondsUntil(response.headers.get("Retry-After")) };
    } finally {
      clearTimeout(timer);
    }
  }

  function parse(text) {
    try {
      return JSON.parse(text) || {};
    } catch {
      return {};
    }
  }

  /** Retry-After is seconds or a date. */
  function secondsUntil(header) {
    if (!header) return null;
    const seconds = /^\d+$/.test(header) ? +header : (Date.parse(header) - Date.now()) / 1000;
    return isFinite(seconds) ? Math.max(0, seconds) : null;
  }

  /** One try: a receipt, or a refusal in the site's own words, or why and for how many seconds to wait. */
  async function post(entry, tries) {
    const growing = Math.min(60, 2 ** tries) * (0.75 + Math.random() / 2); // a crowd must not come back all at once
    const headers = { "Content-Type": "application/json", "Idempotency-Key": entry.key };
    let answer;
    try {
      answer = await call(entry.api, { method: "POST", headers, body: JSON.stringify({ ...entry.more, phone_number: entry.typed, proof: entry.proof }) });
    } catch (error) {
      return { why: isOffline() ? "offline" : error.name === "AbortError" ? "timeout" : "unreachable", seconds: growing };
    }
    const { status, body, after } = answer;
    if (status === 202 && body.status_url) return { receipt: body };
    if (body.code === "not_open_yet" && after !== null) return { why: "early", asked: true, seconds: after + (Math.random() * OPENING) / 1000 };
    const passes = status === 408 || status === 429 || status >= 500;
    if (!passes && body.code) return { refused: body.detail || body.code };
    if (!passes) return { why: "unreachable", seconds: growing }; // a captive portal or a proxy speaks for itself only
    const wait = after + Math.random() * Math.min(10, 1 + after / 2); // growing, without Retry-After
    const seconds = Math.min(DAY / 1000, Math.max(growing, wait));
    const challenge = !entry.proof && body.challenge; // one proof a wait
    return { why: status === 429 ? "limited" : "busy", asked: after !== null, challenge, seconds };
  }

  // ── Sending and following

  /** Sends until there is a receipt; returns the entry with it, or a refusal, or nothing when it is no longer kept. */
  async function send(key, tell) {
    for (let tries = 1; ; tries++) {
      solve(key);
      await rest(key, tell);
      const entry = read(key); // another tab may have sent it, or the visitor have changed it there
      if (!entry || entry.receipt) return entry;
      tell("sending", {});
      const { receipt, refused, why, asked, challenge, seconds } = await post(entry, tries);
      if (refused) {
        forget(key);
        return { refused };
      }
      if (read(key)) write({ ...entry, receipt, why, asked, challenge, proof: undefined, next: Date.now() + seconds * 1000 });
    }
  }

  /** A challenge that is solved ends the wait. */
  function solve(key) {
    const { challenge, api } = read(key) || {};
    if (!challenge) return;
    const src = new URL("/static/landing/proof.js", api);
    load(src, () => Breakwater.solve(challenge, src, (proof) => read(key) && write({ ...read(key), proof, next: 0 })));
  }

  function load(src, onload) {
    document.head.append(Object.assign(document.createElement("script"), { src, onload }));
  }

  /** Waits until it is time to send. A network that comes back ends the wait, unless the site has asked for it. */
  async function rest(key, tell) {
    let wasOffline = false;
    for (;;) {
      const entry = read(key);
      if (!entry || entry.receipt || !(entry.next > Date.now())) return;
      if (wasOffline && !isOffline() && !entry.asked) return;
      wasOffline = isOffline();
      tell("waiting", { why: wasOffline ? "offline" : entry.why, seconds: Math.ceil((entry.next - Date.now()) / 1000) });
      await sleep(250);
    }
  }

  /**
   * Runs a job in one tab at a time. A tab that sleeps may hold the lock for ever, so a page that is seen does not wait
   * for long: two that send at once do no harm, the key is the same.
   */
  async function alone(key, job) {
    if (!tabsShareIt || !navigator.locks) return job();
    let running;
    const impatience = new AbortController();
    const timer = setInterval(() => document.hidden || impatience.abort(), LOCK_WAIT);
    const run = () => {
      clearInterval(timer);
      running = running || job();
      return running;
    };
    try {
      return await navigator.locks.request(NAME + key, { signal: impatience.signal }, run);
    } catch {
      return run(); // not ours in time; or taken on the way to the back/forward cache, while the job goes on
    }
  }

  /** Tells sending, waiting {why, seconds}; then refused {refused}, or dropped, or what follow tells. */
  async function register({ key }, show) {
    const tell = unfailing(show);
    const entry = read(key);
    if (entry && !entry.asked) write({ ...entry, next: 0 }); // somebody opened the page: they want it now
    tell("sending", {});
    const end = await alone(key, () => send(key, tell));
    if (end?.receipt) return follow(end, tell);
    return end ? tell("refused", end) : tell("dropped", {});
  }

  /** What a page shows may fail, since people change it; what is sent must not. */
  function unfailing(show) {
    return (...told) => {
      try {
        show(...told);
      } catch (error) {
        console.error("Breakwater:", error);
      }
    };
  }

  /** Tells processing, delayed after a minute, and in the end registered or failed, each with the receipt and the place. */
  async function follow({ key, api, receipt }, tell) {
    const patience = Date.now() + 60_000;
    const end = Date.now() + DAY;
    let pause = 300;
    tell("processing", receipt);
    while (Date.now() < end) {
      await sleep(pause);
      pause = Math.min(Date.now() > patience ? 15_000 : 3_000, pause * 1.5);
      try {
        const { body, after } = await call(new URL(receipt.status_url, api));
        if (body.status === "Registered" || body.status === "Failed") {
          forget(key);
          return tell(body.status.toLowerCase(), { ...receipt, ...body });
        }
        pause = Math.max(pause, after * 1000); // Retry-After: the site knows how long its queue is
      } catch {} // kept, whether or not we can see it
      if (Date.now() > patience) tell("delayed", receipt);
    }
  }

  firstSource(); // a later page of this site has no query any more
  window.Breakwater = { keep, kept, more, forget, register, follow, call };

  // ── The form of a page hosted elsewhere: <form data-breakwater="…/api/register/"> (our own page is without it)

  const WORDS = {
    fa: {
      sending: "در حال ارسال…",
      waiting: "هنوز نرسیده است؛ خودمان دوباره می‌فرستیم.",
      processing: "شماره شما رسید و در حال ثبت است.",
      delayed: "شماره شما نزد ماست؛ ثبت آن کمی طول می‌کشد.",
      registered: "ثبت شد.",
      failed: "ثبت نشد. لطفاً دوباره بفرستید.",
      "place-placed": "جای شما قطعی است. شمارهٔ شما {number} است.",
      "place-waiting": "همهٔ جاها پر شده است. شما نفر {position} در صف انتظارید.",
      "place-declined": "همهٔ جاها و صف انتظار پر شده است.",
      "place-cancelled": "جای شما لغو شده است.",
      dropped: "هنوز فرستاده نشده است. لطفاً دوباره دکمه را بزنید.",
    },
    en: {
      sending: "Sending…",
      waiting: "Not there yet; we will send it again by ourselves.",
      processing: "We have your number and are registering it.",
      delayed: "We have your number; registering it takes a little longer.",
      registered: "You are registered.",
      failed: "Not registered. Please send it again.",
      "place-placed": "You have a place. Your number is {number}.",
      "place-waiting": "All places are taken. You are number {position} in line.",
      "place-declined": "All places are taken, and so is the line for them.",
      "place-cancelled": "Your place was cancelled.",
      dropped: "Not sent yet. Please press the button again.",
    },
  };

  const source = document.currentScript?.src;

  /** data-confirm: the number is proven here, too. */
  function prove(form, details) {
    load(new URL("confirm_embed.js", source), () => window.Breakwater.proveIn(form, details));
  }

  const attached = new WeakSet();
  const digits = (typed) => typed.replace(/\P{Nd}/gu, "");

  function attach(form) {
    if (attached.has(form)) return;
    attached.add(form);
    const language = document.documentElement.lang.startsWith("en") ? "en" : "fa";
    const words = WORDS[language];
    const api = new URL(form.dataset.breakwater, location).href;
    const input = form.elements.phone_number;
    const status = form.querySelector("[role=status]");
    let current = null;
    if (!input) return console.error("Breakwater: this form has no field named phone_number.", form);
    if (!status) console.warn("Breakwater: this form has no element with role=status.", form);

    function say(sentence) {
      if (status && status.textContent !== sentence) status.textContent = sentence; // a screen reader says each once
    }
    function show(state, details) {
      const isNew = form.dataset.state !== state;
      form.dataset.state = state;
      const { place } = details;
      const name = place ? `place-${place.state}` : state;
      const sentence = form.getAttribute(`data-${name}`) || words[name] || "";
      say(details.refused || sentence.replace(/\{(\w+)\}/g, (_, one) => place[one].toLocaleString(language)));
      if (isNew) form.dispatchEvent(new CustomEvent("breakwater", { bubbles: true, detail: { state, ...details } }));
      if (/^(registered|failed|refused|dropped)$/.test(state)) current = null;
      if (state === "registered") form.reset();
      if (details.confirmation && "confirm" in form.dataset) prove(form, details);
    }
    function start(entry) {
      current = entry;
      register(entry, (state, details) => current === entry && show(state, details));
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!current) start(keep(api, input.value, more(form)));
    });
    input.addEventListener("input", () => {
      // Also fired for a number that has not changed.
      if (!current || form.dataset.state !== "waiting" || digits(input.value) === digits(current.typed)) return;
      forget(current.key); // another number: the old one is not sent again
      current = null;
      form.dataset.state = "";
      say("");
    });
    const [newest, ...older] = kept(api);
    for (const entry of older) register(entry, () => {}); // from other visits: only one can be shown
    if (!newest) return;
    input.value = newest.typed;
    start(newest);
  }

  const attachAll = () => document.querySelectorAll("form[data-breakwater]").forEach(attach);
  window.Breakwater.attachAll = attachAll;
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", attachAll);
  else attachAll();
})();
