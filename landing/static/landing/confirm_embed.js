// The code for a form on another site (data-confirm): a field after the form, in the page's language. embed.js loads this.
// Words: data-code-STATE on the form. Style: [data-breakwater-code] and what is in it.
(() => {
  "use strict";
  const source = document.currentScript.src;
  const WORDS = {
    fa: {
      waiting: "کد در راه است.",
      line: "{before} نفر پیش از شما هستند؛ حدود {minutes} دقیقه. ثبت‌نام شما محفوظ است.",
      sent: "کدی را که پیامک کردیم بنویسید.",
      wrong: "این کد درست نیست.",
      late: "زمان این کد گذشته است.",
      confirmed: "شماره تأیید شد.",
      expired: "زمان این کد گذشته است. کد دیگری بخواهید.",
      locked: "کد نادرست زیاد وارد شد. کمی بعد کد دیگری بخواهید.",
      later: "اکنون کد فرستاده نمی‌شود. ثبت‌نام شما محفوظ است.",
      undelivered: "پیامک به این شماره نمی‌رسد. ثبت‌نام شما محفوظ است.",
      impossible: "کد فقط به موبایل فرستاده می‌شود. ثبت‌نام شما محفوظ است.",
      unasked: "برای اینکه بدانیم این شماره از آنِ شماست، کدی پیامک می‌کنیم.",
      unreachable: "به سایت نمی‌رسیم. دوباره دکمه را بزنید.",
      label: "کد",
      button: "تأیید",
      again: "کد را بفرستید",
    },
    en: {
      waiting: "Your code is on its way.",
      line: "{before} people are before you: about {minutes} minutes. Your registration is safe.",
      sent: "Type the code that we have sent by SMS.",
      wrong: "This is not the code.",
      late: "The time of this code is over.",
      confirmed: "Your number is confirmed.",
      expired: "The time of this code is over. Ask for another one.",
      locked: "Too many wrong codes. Ask for another one in a while.",
      later: "No code just now. Your registration is safe.",
      undelivered: "No SMS reaches this number. Your registration is safe.",
      impossible: "Codes go to mobile numbers only. Your registration is safe.",
      unasked: "To know that the number is yours, we send you a code by SMS.",
      unreachable: "We cannot reach the site. Press the button again.",
      label: "Code",
      button: "Confirm",
      again: "Send me a code",
    },
  };
  /** What the `breakwater` event calls a state. */
  const EVENTS = { waiting: "waiting-code", sent: "code-sent", wrong: "code-wrong", late: "code-wrong", confirmed: "confirmed" };

  function make(name, properties, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }

  /** Loads what our own page has too, once. */
  function load() {
    if (window.Breakwater.prove) return;
    return new Promise((onload) => document.head.append(make("script", { src: new URL("confirm.js", source), onload })));
  }

  window.Breakwater.proveIn = async (form, { status_url, task_id, confirmation }) => {
    await load();
    const language = document.documentElement.lang.startsWith("en") ? "en" : "fa";
    const word = (name) => form.getAttribute(`data-code-${name}`) || WORDS[language][name];
    const status = make("p", { role: "status" });
    const code = make("input", { type: "text", inputMode: "numeric", autocomplete: "one-time-code", dir: "ltr", maxLength: 20, required: true });
    const typing = make("div", {}, make("label", {}, word("label"), " ", code), make("button", {}, word("button")));
    const again = make("button", { type: "button", textContent: word("again") });
    const box = make("form", { noValidate: true }, status, typing, again);
    box.dataset.breakwaterCode = "";
    form.nextElementSibling?.matches("[data-breakwater-code]") && form.nextElementSibling.remove();
    form.after(box);
    let shown = "";

    const view = {
      code: () => code.value,
      fill: (value) => (code.value = value),
      say(sentence) {
        const told = sentence ?? word("unreachable");
        if (told) status.textContent = told;
        if (told) code.setAttribute("aria-invalid", "true");
        else code.removeAttribute("aria-invalid");
      },
      show(told, isNew) {
        const state = (told.status === "sent" && told.last_try?.result) || told.status;
        const isLong = told.status === "waiting" && told.wait > 60;
        const values = { before: told.before, minutes: Math.ceil(told.wait / 60) };
        const sentence = word(isLong ? "line" : state).replace(/\{(\w+)\}/g, (_, name) => values[name].toLocaleString(language));
        if (status.textContent !== sentence) status.textContent = sentence;
        box.dataset.state = told.status;
        typing.hidden = told.status !== "sent";
        again.hidden = !["unasked", "sent", "expired", "locked", "later"].includes(told.status);
        code.toggleAttribute("aria-invalid", false);
        if (state in EVENTS && (isNew || state !== shown)) {
          form.dispatchEvent(new CustomEvent("breakwater", { bubbles: true, detail: { state: EVENTS[state], task_id, status_url } }));
        }
        if (isNew && told.status === "sent") code.focus();
        shown = state;
      },
    };
    const api = new URL(status_url, new URL(form.dataset.breakwater, location)).href;
    const proving = window.Breakwater.prove(api, language, confirmation, view);
    view.show(confirmation, true);
    box.addEventListener("submit", (event) => {
      event.preventDefault();
      proving.send();
    });
    again.addEventListener("click", proving.ask);
  };
})();
