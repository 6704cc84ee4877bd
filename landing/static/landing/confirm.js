// The page on which a visitor proves a phone number: asks for the code, shows how far it is, sends what was typed.
// The words come with the page, from the server; after a change it is fetched anew and its card put in place.
// Without this script the same page works by its forms and its refresh.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const api = $("confirmation").dataset.statusUrl;
  const language = document.documentElement.lang;
  const inDigits = (number) => (language === "fa" ? `${number}`.replace(/\d/g, (digit) => "۰۱۲۳۴۵۶۷۸۹"[digit]) : `${number}`);
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const ASK_BY_ITSELF = 60; // seconds of a wait up to which the page asks without a press of the button
  const HERE_AGAIN = 10_000; // ms between two "I am here"
  let told = JSON.parse($("told").textContent);
  let toldAt = Date.now();
  let askedAt = 0;
  let trying = ""; // the try whose verdict is awaited
  let listening = null; // for the SMS itself

  const left = (seconds) => Math.max(0, Math.round(seconds - (Date.now() - toldAt) / 1000));

  async function call(path, options = {}) {
    const headers = { Accept: "application/json", "Accept-Language": language, ...options.headers };
    const answer = await fetch(path, { ...options, headers, signal: AbortSignal.timeout?.(10_000) });
    return { status: answer.status, body: await answer.json().catch(() => ({})) };
  }

  async function ask() {
    askedAt = Date.now();
    const { status, body } = await call(`${api}code/`, { method: "POST" });
    if (status === 202) await hear(body.confirmation);
    else say(body.detail || "");
  }

  async function poll() {
    const { body } = await call(api);
    if (body.confirmation) await hear(body.confirmation);
  }

  /** What makes the page another one; all else changes words in it. */
  const kind = ({ status, why, last_try }) => `${status} ${why} ${last_try?.id}`;

  async function hear(now) {
    const isNew = kind(now) !== kind(told);
    told = now;
    toldAt = Date.now();
    if (now.status === "checking") return;
    if (trying && (now.last_try?.id === trying || now.status !== "sent")) trying = "";
    if (isNew) await render();
    else if (now.status === "waiting") {
      const { waiting, soon } = $("confirmation").dataset;
      const values = { before: now.before, minutes: Math.ceil(now.wait / 60) };
      $("progress-sentence").textContent = now.wait > 60 ? waiting.replace(/\{(\w+)\}/g, (_, name) => inDigits(values[name])) : soon;
    }
  }

  async function render() {
    const answer = await fetch(location.pathname, { headers: { "Accept-Language": language } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const card = page.getElementById("confirmation");
    if (!card) return location.reload();
    const typed = $("code")?.value;
    $("confirmation").replaceWith(card);
    told = JSON.parse($("told").textContent);
    toldAt = Date.now();
    document.title = page.title;
    if ($("code") && typed) $("code").value = typed;
    $("announcer").textContent = `${$("progress-heading").textContent}. ${$("progress-sentence").textContent}`;
    if ($("code")) $("code").focus();
    else $("progress-heading").focus();
    attach();
  }

  function say(sentence) {
    const problem = $("problem") || $("progress-sentence");
    if (problem.textContent !== sentence) problem.textContent = sentence;
    if (sentence) $("code")?.setAttribute("aria-invalid", "true");
    else $("code")?.removeAttribute("aria-invalid");
  }

  async function send(event) {
    event?.preventDefault();
    if (trying) return;
    const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID?.() || `${Math.random()}` };
    trying = "sending";
    listening?.abort();
    try {
      const { status, body } = await call(`${api}confirm/`, { method: "POST", headers, body: JSON.stringify({ code: $("code").value }) });
      trying = status === 202 ? body.confirmation.try : "";
      if (!trying) return say(body.errors?.[0].detail || body.detail || $("confirmation").dataset.unreachable);
      say("");
    } catch {
      trying = "";
      return say($("confirmation").dataset.unreachable);
    }
    for (const end = Date.now() + 30_000; trying && Date.now() < end; await sleep(300)) await poll().catch(() => {});
    trying = "";
  }

  /** The browser reads the code out of the SMS, if the visitor allows it (WebOTP). */
  function listen() {
    if (!("OTPCredential" in window) || listening) return;
    listening = new AbortController();
    setTimeout(() => listening?.abort(), 300_000);
    navigator.credentials.get({ otp: { transport: ["sms"] }, signal: listening.signal }).then(
      ({ code }) => {
        if (!$("code")) return;
        $("code").value = code;
        send();
      },
      () => {}, // not allowed, or ended by us
    );
  }

  function attach() {
    const to = $("sent-to");
    try {
      if (to) to.textContent = sessionStorage.getItem("breakwater:to") || "";
    } catch {} // forbidden
    $("type-code")?.addEventListener("submit", send);
    $("code")?.addEventListener("input", () => say(""));
    $("ask-code")?.addEventListener("submit", (event) => {
      event.preventDefault();
      if (left(told.again_in || 0) === 0) ask().catch(() => say($("confirmation").dataset.unreachable));
    });
    if (told.status === "sent") listen();
  }

  /** Seconds until the page looks again. */
  function pause() {
    if (told.status === "waiting") return "wait" in told ? Math.min(60, Math.max(askedAt && told.wait < 20 ? 1 : 3, told.wait / 10)) : 1;
    if (told.status === "checking") return 0.5;
    return told.status === "sent" ? Math.max(5, Math.min(30, left(told.expires_in) + 1)) : told.again_in || 15;
  }

  async function watch() {
    for (; told.status !== "confirmed"; ) {
      if (!document.hidden && !trying) {
        const isCalled = told.status === "waiting" && told.called && Date.now() - askedAt > HERE_AGAIN;
        const mayAsk = (told.status === "unasked" && told.wait <= ASK_BY_ITSELF) || told.why === "gateway";
        if (isCalled || (mayAsk && Date.now() - askedAt > HERE_AGAIN)) await ask().catch(() => {});
      }
      await sleep(pause() * 1000);
      if (!document.hidden && !trying) await poll().catch(() => {});
    }
  }

  setInterval(() => {
    if ($("again-in")) $("again-in").textContent = inDigits(left(told.again_in || 0));
  }, 1000);
  addEventListener("pagehide", () => listening?.abort());
  document.querySelector("meta[http-equiv=refresh]")?.remove();
  window.stop(); // the refresh, for browsers in which taking its element away is not enough
  attach();
  watch();
})();
