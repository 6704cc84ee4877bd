// A UUID version 7: its time lets the site answer sooner. crypto.randomUUID() is missing on pages without https.
function newKey() {
  const time = Date.now().toString(16).padStart(12, "0");
  const bytes = [...crypto.getRandomValues(new Uint8Array(9))];
  const random = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6)}`;
}

async function register(phoneNumber) {
  const key = newKey(); // one for all tries: a repeat is stored once
  for (let tries = 1; ; tries += 1) {
    const answer = await fetch("http://127.0.0.1:8000/api/register/", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: JSON.stringify({ phone_number: phoneNumber }),
    });
    const body = await answer.json();
    if (answer.ok) return body.task_id;
    const pause = answer.headers.get("Retry-After");
    if (!pause || tries === 5) throw new Error(`${body.code}: ${body.detail}`);
    await new Promise((resume) => setTimeout(resume, pause * 1000));
  }
}

register("+98 912 345 6789").then(console.log);
