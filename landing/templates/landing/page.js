// The landing page, with JavaScript: embed.js keeps, sends and follows the registration; this shows how far it is.
// Without JavaScript the same form works by a plain POST. In three parts: words, the number as typed, what the visitor sees.

const { keep, kept, more, forget, register, follow, call } = window.Breakwater;
const $ = (id) => document.getElementById(id);

// ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const texts = JSON.parse($("texts").textContent);
const language = document.documentElement.lang;
// Not Intl.NumberFormat: to load its data costs a cheap phone a tenth of a second before the form can be used.
const inDigits = (number) => (language === "fa" ? `${number}`.replace(/\d/g, (digit) => "۰۱۲۳۴۵۶۷۸۹"[digit]) : `${number}`);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => inDigits(values[name]));

// ── The number as typed: a hint only, the server decides ─────────────────────────────────────────────────────────────

// lib/phones.py: the marks that the server passes over come from there, the rest is the same rule in this language.
const MARKS = new RegExp(texts.phone.marks, "g");
const URI = new RegExp(`^${texts.phone.marks}*tel:`, "i");

function normalise(typed) {
  const plain = typed
    .replace(URI, "")
    .replace(/[۰-۹٠-٩０-９]/g, (digit) => digit.charCodeAt(0) & 15) // each of these alphabets starts at a multiple of 16
    .replace(/[＋﹢]/g, "+")
    .replace(MARKS, "");
  return plain.replace(/^(?:(?:\+|00)?980?(?=[1-9]\d{9}$)|(?=9\d{9}$))/, "0");
}

/** The name of what looks wrong with a number, or "" when it looks right. */
function problemWith(typed) {
  const number = normalise(typed);
  if (number === "") return "empty";
  if (!/^\+?\d+$/.test(number)) return "not_digits";
  if (/^0\d{10}$/.test(number)) return "";
  if (/^(0|9|\+)/.test(number)) return number.replace(/\D/g, "").length < 11 ? "too_short" : "too_long";
  return "wrong_start";
}

// ── What the visitor sees ────────────────────────────────────────────────────────────────────────────────────────────

const DONE = "breakwater:done"; // the tab remembers that it has registered: the receipt, never the number

function announce(sentence) {
  if ($("announcer").textContent !== sentence) $("announcer").textContent = sentence; // each is read out once
}

function showProgress(state, { task_id, place }, name = state.toLowerCase()) {
  const progress = $("progress");
  const words = texts[name];
  const sentence = place ? fill(texts.place[place.state], place) : words.sentence;
  progress.dataset.state = state;
  progress.hidden = false;
  $("reference").textContent = task_id;
  $("progress-heading").textContent = words.heading;
  $("progress-sentence").textContent = sentence;
  $("last-step").textContent = state === "Failed" ? texts.failed.step : texts.registered.step;
  $("progress-action").hidden = !words.button;
  $("progress-action").textContent = words.button || "";
  document.title = `${words.heading} | ${texts.page.brand}`;
  announce(`${words.heading}. ${sentence}`);
}

/** Shows the place of a registration, and again every half a minute while it waits for one and the page is seen. */
async function followPlace(receipt, place) {
  if (!texts.place || (place && place.state !== "waiting")) return;
  for (let pause = place ? 30 : 0; ; pause = 30) {
    await new Promise((done) => setTimeout(done, pause * 1000 * (0.75 + Math.random() / 2)));
    if ($("progress").hidden || $("reference").textContent !== receipt.task_id) return;
    if (document.hidden) continue;
    const { body } = await call(receipt.status_url).catch(() => ({ body: {} }));
    if (body.place) showProgress("Registered", { ...receipt, place: body.place });
    if (body.status && body.place?.state !== "waiting") return;
  }
}

const SHOWN_AS = { processing: "Processing", delayed: "Processing", registered: "Registered", failed: "Failed" };

class Form {
  constructor(form) {
    this.form = form;
    this.api = new URL(form.dataset.apiUrl, location).href;
    this.input = form.elements.phone_number;
    this.consent = form.querySelector("[name=consent][type=checkbox]");
    this.opens = Number(form.dataset.opens || 0);
    this.others = [...form.querySelectorAll("[data-field]")]; // what a campaign asks for beside the number
    this.field = form.querySelector(".field");
    this.button = form.querySelector("button");
    this.words = form.querySelector(".button-words");
    this.entry = null; // what is on its way
    this.isWaiting = false; // between two tries
    this.warned = null; // the number we have already called odd: pressing again sends it
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener("input", () => this.typed());
    $("progress-action").addEventListener("click", (event) => {
      event.preventDefault();
      this.again();
    });
    window.addEventListener("pageshow", ({ persisted }) => (persisted ? this.wake() : this.hint()));
    this.resume();
  }

  /** Goes on with what an earlier visit has left, or shows how it ended in this tab. */
  resume() {
    const [newest, ...older] = kept(this.api);
    for (const entry of older) register(entry, () => {}); // from other visits: sent too, but only one can be shown
    if (newest) {
      this.input.value = newest.typed;
      for (const other of this.others) this.fillIn(other, newest.more?.[other.name] || "");
      this.start(newest);
    } else if (remembered()) {
      this.form.hidden = true;
      showProgress("Registered", remembered());
      followPlace(remembered());
    }
    this.hint();
  }

  /** Out of the back/forward cache: meanwhile a later page of this tab may have sent what waited here, or left something. */
  wake() {
    const isKept = this.entry && kept(this.api).some(({ key }) => key === this.entry.key);
    if (isKept || this.form.hidden) return;
    this.idle();
    this.say("");
    this.resume();
  }

  typed() {
    // Browsers, form fillers and keyboards fire this event for a number that has not changed, too.
    if (this.entry && normalise(this.input.value) === normalise(this.entry.typed) && !this.hasChanged()) return;
    if (this.isWaiting) this.stop(); // another number: the old one is not sent again
    this.say("");
    this.hint();
  }

  fillIn(other, value) {
    if (other.type === "checkbox") other.checked = value !== "";
    else other.value = value;
  }

  /** Whether another field says something else than what is on its way. */
  hasChanged() {
    const now = more(this.form);
    return this.others.some(({ name }) => (now[name] || "") !== (this.entry.more?.[name] || ""));
  }

  hint() {
    const number = normalise(this.input.value);
    const problem = problemWith(this.input.value);
    const missing = 11 - number.length;
    this.field.classList.toggle("is-good", problem === "");
    if (!$("hint")) return;
    $("hint").textContent =
      problem === "" ? texts.form.hint_good : problem === "too_short" && /^0\d+$/.test(number) && missing > 0 ? fill(texts.form.hint_remaining, { count: missing }) : texts.form.hint;
  }

  say(sentence, { notice = false, at = this.input } = {}) {
    if ($("problem").textContent !== sentence) $("problem").textContent = sentence;
    $("problem").classList.toggle("is-notice", notice);
    this.input.toggleAttribute("aria-invalid", false);
    if (!sentence || notice) return;
    if (at === this.input) at.setAttribute("aria-invalid", "true");
    at.focus();
  }

  busy(words) {
    this.button.setAttribute("aria-disabled", "true"); // not "disabled": that would take the focus away
    this.words.textContent = words;
  }

  idle() {
    this.entry = null;
    this.isWaiting = false;
    this.button.removeAttribute("aria-disabled");
    this.words.textContent = texts.form.button;
    this.input.readOnly = false;
  }

  submit() {
    if (this.entry) return;
    const typed = this.input.value;
    const problem = problemWith(typed);
    if (problem === "empty" || (problem && this.warned !== typed)) {
      this.warned = typed;
      return this.say(texts.problems[problem]);
    }
    const missing = this.others.find((other) => !other.checkValidity());
    if (missing) return this.say(fill(texts.campaign.field_needed, { field: missing.dataset.field }), { at: missing });
    if (this.consent && !this.consent.checked) return this.say(texts.problems.no_consent, { at: this.consent });
    this.start(keep(this.api, typed, more(this.form), this.opens));
  }

  start(entry) {
    this.entry = entry;
    register(entry, (state, details) => this.entry === entry && this.show(state, details));
  }

  stop() {
    forget(this.entry.key);
    this.idle();
  }

  show(state, details) {
    this.isWaiting = state === "waiting";
    this.input.readOnly = state === "sending";
    if (state === "sending") announce(texts.form.sending);
    if (state === "sending") return this.busy(texts.form.sending);
    if (state === "waiting") return this.wait(details);
    if (state in SHOWN_AS) return this.progress(state, details);
    this.idle();
    this.say(details.refused || texts.problems.dropped, { notice: state === "dropped" });
  }

  wait({ why, seconds }) {
    this.say(texts.problems[why] || texts.campaign?.[why], { notice: true });
    if (why === "offline") return this.busy(texts.form.waiting_for_network);
    const minutes = Math.ceil(seconds / 60);
    if (why === "early" && minutes > 60) return this.busy(texts.campaign.waiting_for_opening);
    this.busy(minutes > 2 ? fill(texts.form.retrying_later, { minutes }) : fill(texts.form.retrying, { seconds }));
  }

  progress(state, receipt) {
    const isNew = !this.form.hidden;
    const hadFocus = this.form.contains(document.activeElement);
    this.say("");
    this.form.hidden = true;
    showProgress(SHOWN_AS[state], receipt, state);
    if (isNew && hadFocus) $("progress-heading").focus({ preventScroll: true });
    if (isNew) $("card").scrollIntoView({ block: "nearest" });
    if (state === "registered") remember(receipt);
    if (state === "registered" && receipt.confirmation) return this.prove(receipt);
    if (state === "registered") followPlace(receipt, receipt.place);
    if (state === "registered" || state === "failed") this.idle();
  }

  /** On to the page of the registration, where the visitor proves the number. */
  prove({ task_id }) {
    const number = normalise(this.input.value);
    try {
      sessionStorage.setItem("breakwater:to", `${number.slice(0, 4)}***${number.slice(-4)}`);
    } catch {} // forbidden
    location.assign(`${this.form.getAttribute("action")}registration/${task_id}/`);
  }

  /** Back to the form: with the number after a failure; after a success with another one that waits, or empty. */
  again() {
    if ($("progress").dataset.state === "Registered") this.input.value = "";
    this.warned = null;
    forgetDone();
    $("progress").hidden = true;
    this.form.hidden = false;
    document.title = texts.page.title;
    announce("");
    this.say("");
    this.resume();
    this.input.focus();
  }
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(DONE));
  } catch {
    return null;
  }
}

function remember({ task_id, status_url }) {
  try {
    sessionStorage.setItem(DONE, JSON.stringify({ task_id, status_url }));
  } catch {} // forbidden: a reload then shows the form
}

function forgetDone() {
  try {
    sessionStorage.removeItem(DONE);
  } catch {} // forbidden: there is nothing
}

if ($("register")) new Form($("register"));
else if ($("progress")?.dataset.state === "Processing") {
  // Sent without JavaScript, or before this script was there.
  window.stop(); // the page's refresh, for browsers that do not run this; to remove its element would not be enough
  const { statusUrl } = $("progress").dataset;
  const receipt = { status_url: statusUrl, task_id: $("reference").textContent };
  follow({ key: "", api: location.href, since: Date.now(), receipt }, (state, details) =>
    details.confirmation ? location.reload() : showProgress(SHOWN_AS[state], details, state));
}

// Changing the language keeps the campaign's own parameters (utm_… and the like).
if ($("switch-language")) $("switch-language").search = location.search;
