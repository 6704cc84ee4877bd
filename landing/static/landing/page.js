// The landing page, with JavaScript: sends the form as JSON, sends it again when the site is busy or the network is gone,
// and follows the registration to its end. Without JavaScript the same form works by a plain POST.
// In four parts: words, the number as typed, the API, and what the visitor sees.

const $ = (id) => document.getElementById(id);

// ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const texts = JSON.parse($("texts").textContent);
const language = document.documentElement.lang;
const inDigits = new Intl.NumberFormat(language === "fa" ? "fa-IR" : language, { useGrouping: false });
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => inDigits.format(values[name]));

// ── The number as typed: a hint only, the server decides ─────────────────────────────────────────────────────────────

const IGNORED = /[\s\-\u00ad\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;

export function normalise(typed) {
  const plain = typed
    .replace(/[۰-۹٠-٩０-９]/g, (digit) => digit.charCodeAt(0) & 15) // each of these alphabets starts at a multiple of 16
    .replace(/＋/g, "+")
    .replace(IGNORED, "");
  return plain.replace(/^(?:\+98|0098|98)?(9\d{9})$/, "0$1");
}

/** The name of what looks wrong with a number, or "" when it looks right. */
export function problemWith(typed) {
  const number = normalise(typed);
  if (number === "") return "empty";
  if (!/^\+?\d+$/.test(number)) return "not_digits";
  if (/^0\d{10}$/.test(number)) return "";
  if (/^(0|9|\+)/.test(number)) return number.replace(/\D/g, "").length < 11 ? "too_short" : "too_long";
  return "wrong_start";
}

// ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const ANSWER_WITHIN = 10_000;
const TRIES = 8;
const LONGEST_WAIT = 120; // seconds; when the site asks for more, the visitor is told instead of kept waiting
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** One key for one number: pressing twice, or sending again, is the same registration. */
class Attempt {
  constructor(typed) {
    this.typed = typed;
    this.key = crypto.randomUUID ? crypto.randomUUID() : [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

async function call(url, options = {}) {
  const response = await fetch(url, {
    credentials: "omit",
    cache: "no-store",
    signal: AbortSignal.timeout ? AbortSignal.timeout(ANSWER_WITHIN) : undefined,
    ...options,
    headers: { Accept: "application/json, application/problem+json", "Accept-Language": language, ...options.headers },
  });
  const body = await response.json().catch(() => ({}));
  return { status: response.status, body, retryAfter: secondsUntil(response.headers.get("Retry-After")) };
}

/** Retry-After is seconds or a date. */
function secondsUntil(header) {
  if (!header) return null;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/** What a request came to: kept, refused, or else worth another try: with the sentence to show and the seconds to wait. */
async function send(url, attempt, tries) {
  const growing = Math.min(30, 2 ** tries) * (0.75 + Math.random() / 2); // jitter: a crowd must not come back all at once
  if (navigator.onLine === false) return { network: true, offline: true, sentence: texts.problems.offline, seconds: growing };
  let answer;
  try {
    answer = await call(url, {
      method: "POST",
      body: JSON.stringify({ phone_number: attempt.typed }),
      headers: { "Content-Type": "application/json", "Idempotency-Key": attempt.key },
    });
  } catch (error) {
    if (navigator.onLine === false) return { network: true, offline: true, sentence: texts.problems.offline, seconds: growing };
    return { network: true, sentence: error.name === "TimeoutError" ? texts.problems.timeout : texts.problems.unreachable, seconds: growing };
  }
  const { status, body, retryAfter } = answer;
  if (status === 202 && body.status_url) return { kept: body };
  if (status === 429 || status === 408 || status >= 500) {
    return { sentence: status === 429 ? texts.problems.limited : texts.problems.busy, seconds: retryAfter === null ? growing : retryAfter + Math.random() };
  }
  return { refused: body.detail || texts.problems.unknown };
}

/** Follows a registration; resolves with "Registered", "Failed", or "delayed" when it takes more than a minute. */
async function follow(statusUrl) {
  const until = Date.now() + 60_000;
  let pause = 300;
  while (Date.now() < until) {
    await sleep(pause);
    pause = Math.min(3_000, pause * 1.5);
    try {
      const { body, retryAfter } = await call(statusUrl);
      if (body.status === "Registered" || body.status === "Failed") return body.status;
      if (retryAfter !== null) pause = Math.max(pause, retryAfter * 1000);
    } catch {
      // The registration is kept whether or not we can see it: ask again.
    }
  }
  return "delayed";
}

// ── What the visitor sees ────────────────────────────────────────────────────────────────────────────────────────────

function announce(sentence) {
  $("announcer").textContent = sentence;
}

function showProgress(state, name = state.toLowerCase()) {
  const progress = $("progress");
  const words = texts[name];
  const announced = `${words.heading}. ${words.sentence}`;
  progress.dataset.state = state;
  progress.hidden = false;
  $("progress-heading").textContent = words.heading;
  $("progress-sentence").textContent = words.sentence;
  $("last-step").textContent = state === "Failed" ? texts.failed.step : texts.registered.step;
  $("progress-action").hidden = !words.button;
  $("progress-action").textContent = words.button || "";
  document.title = `${words.heading} | ${texts.page.brand}`;
  announce(announced);
}

let following = 0; // only the newest follower may change the page

async function followOnPage(statusUrl) {
  const mine = ++following;
  showProgress("Processing");
  $("progress-action").onclick = null;
  const end = await follow(statusUrl);
  if (mine !== following) return;
  if (end !== "delayed") return showProgress(end);
  showProgress("Processing", "delayed");
  $("progress-action").onclick = (event) => {
    event.preventDefault();
    followOnPage(statusUrl);
  };
}

class Form {
  constructor(form) {
    this.form = form;
    this.input = form.elements.phone_number;
    this.field = form.querySelector(".field");
    this.button = form.querySelector("button");
    this.words = form.querySelector(".button-words");
    this.attempt = null; // the number being sent, with its key
    this.warned = null; // the number we have already called odd: pressing again sends it
    this.inFlight = false;
    this.wake = null; // ends a wait before another try
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.input.addEventListener("input", () => this.typed());
    $("progress-action").addEventListener("click", (event) => {
      if ($("progress-action").onclick) return; // "check again" of a delayed registration
      event.preventDefault();
      this.again();
    });
    window.addEventListener("online", () => this.wake?.("online"));
    window.addEventListener("pageshow", () => this.hint());
  }

  typed() {
    this.say("");
    this.hint();
    this.wake?.("changed"); // a new number: the old one is not sent again
  }

  hint() {
    const number = normalise(this.input.value);
    const problem = problemWith(this.input.value);
    const missing = 11 - number.length;
    this.field.classList.toggle("is-good", problem === "");
    $("hint").textContent =
      problem === "" ? texts.form.hint_good : problem === "too_short" && /^0\d+$/.test(number) && missing > 0 ? fill(texts.form.hint_remaining, { count: missing }) : texts.form.hint;
  }

  say(sentence, { notice = false } = {}) {
    $("problem").textContent = sentence;
    $("problem").classList.toggle("is-notice", notice);
    this.input.toggleAttribute("aria-invalid", false);
    if (sentence && !notice) {
      this.input.setAttribute("aria-invalid", "true");
      this.input.focus();
    }
  }

  busy(words) {
    this.button.setAttribute("aria-disabled", "true"); // not "disabled": that would take the focus away
    this.words.textContent = words;
  }

  idle() {
    this.button.removeAttribute("aria-disabled");
    this.words.textContent = texts.form.button;
    this.input.readOnly = false;
  }

  async submit() {
    if (this.inFlight) return;
    const typed = this.input.value;
    const problem = problemWith(typed);
    if (problem === "empty" || (problem && this.warned !== typed)) {
      this.warned = typed;
      return this.say(texts.problems[problem]);
    }
    if (this.attempt?.typed !== typed) this.attempt = new Attempt(typed);
    this.inFlight = true;
    try {
      await this.sendUntilAnswered(this.attempt);
    } finally {
      this.inFlight = false;
      this.idle();
    }
  }

  async sendUntilAnswered(attempt) {
    for (let tries = 1; tries <= TRIES; tries++) {
      this.busy(texts.form.sending);
      this.input.readOnly = true;
      const outcome = await send(this.form.dataset.apiUrl, attempt, tries);
      this.input.readOnly = false;
      if (outcome.kept) return this.kept(outcome.kept);
      if (outcome.refused) return this.say(outcome.refused);
      this.say(outcome.sentence, { notice: true });
      if (outcome.seconds > LONGEST_WAIT) break;
      if (outcome.offline) tries = 0; // being offline is not the site's failure: wait as long as it lasts
      if (tries < TRIES && (await this.wait(outcome)) === "changed") return;
    }
    this.say(texts.problems.gave_up, { notice: true });
  }

  /** Resolves with what ended the wait: "time", "online" or "changed". */
  wait({ seconds, network, offline }) {
    return new Promise((done) => {
      const end = Date.now() + Math.max(1, seconds) * 1000;
      const finish = (why) => {
        clearInterval(ticking);
        this.wake = null;
        done(why);
      };
      const tick = () => {
        const left = Math.ceil((end - Date.now()) / 1000);
        if (offline && navigator.onLine === false) return this.busy(texts.form.waiting_for_network);
        if (left <= 0) return finish("time");
        this.busy(fill(texts.form.retrying, { seconds: left }));
      };
      const ticking = setInterval(tick, 250);
      this.wake = (why) => {
        if (why === "changed" || network) finish(why); // a Retry-After holds even when the network comes back
      };
      tick();
    });
  }

  kept(receipt) {
    this.say("");
    this.form.hidden = true;
    $("reference").textContent = receipt.task_id;
    followOnPage(receipt.status_url);
    $("progress-heading").focus({ preventScroll: true });
    $("card").scrollIntoView({ block: "nearest" });
  }

  /** Back to the form: with the number after a failure, empty after a success. */
  again() {
    following++;
    if ($("progress").dataset.state === "Registered") this.input.value = "";
    this.attempt = this.warned = null;
    $("progress").hidden = true;
    this.form.hidden = false;
    document.title = texts.page.title;
    announce("");
    this.say("");
    this.hint();
    this.input.focus();
  }
}

if ($("register")) new Form($("register"));
else if ($("progress").dataset.state === "Processing") followOnPage($("progress").dataset.statusUrl);

// Changing the language keeps the campaign's own parameters (utm_… and the like).
$("switch-language").search = location.search;
