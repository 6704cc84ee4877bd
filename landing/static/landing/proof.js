// Solves the challenge of a 429 (docs/api.md) in a worker, so that the page stays quick. embed.js loads this when one comes.
(() => {
  const PATIENCE = 30_000; // ms

  /** In a worker: gets {text (40 characters), bits}, posts the first "text.counter" whose SHA-256 begins with so many zero bits. */
  function work() {
    // FIPS 180-4: the first 32 bits of the fractions of square and cube roots of the first primes.
    const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
    const primes = [];
    for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
    const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
    const K = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
    const w = new Int32Array(64);

    function put(text, at) {
      for (let n = 0; n < text.length; n++) w[(at + n) >> 2] |= text.charCodeAt(n) << (24 - 8 * ((at + n) & 3));
    }

    /** The first 32 bits of the SHA-256 of what is put at 0, a dot and a counter: one block. */
    function hash(counter) {
      const end = `.${counter}`;
      w.fill(0, 10, 16);
      put(`${end}\x80`, 40);
      w[15] = 8 * (40 + end.length);
      let a = START[0]; // one by one: twice as fast as [a, b, …] = START
      let b = START[1];
      let c = START[2];
      let d = START[3];
      let e = START[4];
      let f = START[5];
      let g = START[6];
      let h = START[7];
      for (let n = 0; n < 64; n++) {
        if (n > 15) {
          const x = w[n - 15];
          const y = w[n - 2];
          const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
          const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
          w[n] = w[n - 16] + s0 + w[n - 7] + s1;
        }
        const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const t = (h + s1 + ((e & f) ^ (~e & g)) + K[n] + w[n]) | 0;
        h = g;
        g = f;
        f = e;
        e = (d + t) | 0;
        d = c;
        c = b;
        b = a;
        a = (t + s0 + ((b & c) ^ (b & d) ^ (c & d))) | 0;
      }
      return a + START[0];
    }

    onmessage = ({ data: { text, bits } }) => {
      let counter = 0;
      w.fill(0);
      put(text, 0);
      while (hash(counter) >>> (32 - bits)) counter++;
      postMessage(`${text}.${counter}`);
    };
  }

  if (!self.document) return work();

  /**
   * Calls done(proof) when a challenge is solved; never when it cannot be, or not in time. src: this script's address.
   * On another site's page a worker may not come from here, but from a text (worker-src blob: in the page's content policy).
   */
  window.Breakwater.solve = (challenge, src, done) => {
    const isOurs = new URL(src).origin === location.origin;
    const url = isOurs ? src : URL.createObjectURL(new Blob([`(${work})()`], { type: "text/javascript" }));
    try {
      const worker = new Worker(url);
      const end = () => {
        worker.terminate();
        URL.revokeObjectURL(url);
      };
      setTimeout(end, PATIENCE);
      worker.onmessage = ({ data }) => {
        end();
        done(data);
      };
      worker.postMessage(challenge);
    } catch {} // forbidden: the form waits
  };
})();
