// Proving a phone number: asks for the code, follows it, sends what was typed. First what all pages share, then our own
// page, whose words come from the server: after a change it is fetched anew and its card put in place. Without this
// script the same page works by its forms and its refresh. confirm_embed.js is for forms on other sites.
(() => {
  "use strict";
  const ASK_BY_ITSELF = 60; // seconds of a wait up to which a page asks without a press of the button
  const HERE_AGAIN = 10_000; // ms between two "I am here"
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  /** What makes a page another one; all else changes words in it. */
  const kind = ({ status, why, last_try }) => `${status} ${why} ${last_try?.id}`;

  /**
   * Proves one number. api: the registration's address. told: its `confirmation`. view: show(told, isNew) draws it and may
   * return a newer one, say(sentence) tells what is wrong ("" for nothing, null when we are not reached), code() gives what was typed,
   * fill(code) types it. Returns what the buttons call, and left(seconds): what is left of a time that was told.
   */
  function prove(api, language, told, view) {
    let toldAt = Date.now();
    let askedAt = 0;
    let trying = ""; // the try whose verdict is awaited
    let listening = null; // for the SMS itself
    const left = (seconds) => Math.max(0, Math.round((seconds || 0) - (Date.now() - toldAt) / 1000));

    async function call(path, options = {}) {
      const headers = { Accept: "application/json", "Accept-Language": language, ...options.headers };
      const answer = await fetch(path, { ...options, headers, signal: AbortSignal.timeout?.(10_000) });
      return { status: answer.status, body: await answer.json().catch(() => ({})) };
    }

    async function hear(now) {
      const isNew = kind(now) !== kind(told);
      [told, toldAt] = [now, Date.now()];
      if (now.status === "checking") return;
      if (now.last_try?.id === trying || now.status !== "sent") trying = "";
      told = (await view.show(told, isNew)) || told; // a page that was fetched anew may know more
      if (told.status === "sent") listen();
    }

    async function ask() {
      askedAt = Date.now();
      const { status, body } = await call(`${api}code/`, { method: "POST" });
      if (status === 202) await hear(body.confirmation);
      else view.say(body.detail || null);
    }

    async function poll() {
      const { body } = await call(api);
      if (body.confirmation) await hear(body.confirmation);
    }

    async function send() {
      if (trying) return;
      const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID?.() || `${Math.random()}` };
      trying = "sending";
      listening?.abort();
      try {
        const { status, body } = await call(`${api}confirm/`, { method: "POST", headers, body: JSON.stringify({ code: view.code() }) });
        trying = status === 202 ? body.confirmation.try : "";
        view.say(trying ? "" : body.errors?.[0].detail || body.detail || null);
      } catch {
        trying = "";
        view.say(null);
      }
      for (const end = Date.now() + 30_000; trying && Date.now() < end; await sleep(300)) await poll().catch(() => {});
      trying = "";
    }

    /** The browser reads the code out of the SMS, if the visitor allows it (WebOTP). */
    function listen() {
      if (!("OTPCredential" in window) || listening) return;
      listening = new AbortController();
      setTimeout(() => listening.abort(), 300_000);
      navigator.credentials.get({ otp: { transport: ["sms"] }, signal: listening.signal }).then(
        ({ code }) => {
          view.fill(code);
          send();
        },
        () => {}, // not allowed, or ended by us
      );
    }

    /** Seconds until the page looks again. */
    function pause() {
      const isFresh = Date.now() - askedAt < 10_000;
      if (told.status === "waiting") return "wait" in told ? Math.min(60, Math.max(told.wait < 20 ? 1 : 3, told.wait / 10)) : isFresh ? 1 : 5;
      if (told.status === "checking") return 0.5;
      return told.status === "sent" ? Math.max(5, Math.min(30, left(told.expires_in) + 1)) : told.again_in || 15;
    }

    async function watch() {
      while (told.status !== "confirmed") {
        const mayAsk = (told.status === "unasked" && told.wait <= ASK_BY_ITSELF) || told.why === "gateway" || told.called;
        if (!document.hidden && !trying && mayAsk && Date.now() - askedAt > HERE_AGAIN) await ask().catch(() => {});
        await sleep(pause() * 1000);
        if (!document.hidden && !trying) await poll().catch(() => {});
      }
    }

    addEventListener("pagehide", () => listening?.abort());
    if (told.status === "sent") listen();
    watch();
    return { left, send, ask: () => left(told.again_in) || ask().catch(() => view.say(null)) };
  }

  window.Breakwater = { ...window.Breakwater, prove };

  // ── Our own page ───────────────────────────────────────────────────────────────────────────────────────────────────

  const $ = (id) => document.getElementById(id);
  if (!$("confirmation")) return;
  const language = document.documentElement.lang;
  const inDigits = (number) => (language === "fa" ? `${number}`.replace(/\d/g, (digit) => "۰۱۲۳۴۵۶۷۸۹"[digit]) : `${number}`);
  let again = 0;

  const view = {
    code: () => $("code").value,
    fill: (code) => $("code") && ($("code").value = code),
    say(sentence) {
      const problem = $("problem") || $("progress-sentence");
      problem.textContent = sentence ?? $("confirmation").dataset.unreachable;
      if (sentence === "") $("code")?.removeAttribute("aria-invalid");
      else $("code")?.setAttribute("aria-invalid", "true");
    },
    async show(told, isNew) {
      again = told.again_in || 0;
      if (isNew) return render();
      if (told.status !== "waiting" || !("wait" in told)) return;
      const { waiting, soon } = $("confirmation").dataset;
      const values = { before: told.before, minutes: Math.ceil(told.wait / 60) };
      $("progress-sentence").textContent = told.wait > 60 ? waiting.replace(/\{(\w+)\}/g, (_, name) => inDigits(values[name])) : soon;
    },
  };

  async function render() {
    const answer = await fetch(location.pathname, { headers: { "Accept-Language": language } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const card = page.getElementById("confirmation");
    if (!card) return location.reload();
    const typed = $("code")?.value;
    $("confirmation").replaceWith(card);
    document.title = page.title;
    if ($("code") && typed) $("code").value = typed;
    $("announcer").textContent = `${$("progress-heading").textContent}. ${$("progress-sentence").textContent}`;
    ($("code") || $("progress-heading")).focus();
    attach();
    return JSON.parse($("told").textContent);
  }

  function attach() {
    try {
      $("sent-to").textContent = sessionStorage.getItem("breakwater:to") || "";
    } catch {} // forbidden
    const on = (id, name, act) => $(id)?.addEventListener(name, act);
    on("code", "input", () => view.say(""));
    on("type-code", "submit", (event) => {
      event.preventDefault();
      proving.send();
    });
    on("ask-code", "submit", (event) => {
      event.preventDefault();
      proving.ask();
    });
  }

  document.querySelector("meta[http-equiv=refresh]")?.remove();
  window.stop(); // the refresh, for browsers in which taking its element away is not enough
  const first = JSON.parse($("told").textContent);
  again = first.again_in || 0;
  const proving = prove($("confirmation").dataset.statusUrl, language, first, view);
  attach();
  setInterval(() => $("again-in") && ($("again-in").textContent = inDigits(proving.left(again))), 1000);
})();
