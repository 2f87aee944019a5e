// SHA-256 of a short text (FIPS 180-4). Own, since loading node:crypto takes a tenth of a whole `tunnel status`; not for secrets.

const prime = (after: number): number => {
  for (let candidate = after + 1; ; candidate++) {
    let divisor = 2;
    while (divisor * divisor <= candidate && candidate % divisor !== 0) divisor++;
    if (divisor * divisor > candidate) return candidate;
  }
};

/** The first 32 bits of the fractional part. */
const fraction = (value: number): number => Math.floor((value - Math.floor(value)) * 2 ** 32) | 0;

function constants(): { readonly start: readonly number[]; readonly round: readonly number[] } {
  const primes: number[] = [];
  while (primes.length < 64) primes.push(prime(primes.at(-1) ?? 1));
  return {
    start: primes.slice(0, 8).map((each) => fraction(Math.sqrt(each))),
    round: primes.map((each) => fraction(Math.cbrt(each))),
  };
}

const rotate = (value: number, by: number): number => (value >>> by) | (value << (32 - by));

/** 64 hexadecimal digits. */
export function sha256(text: string): string {
  const { start, round } = constants();
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const state = [...start];
  for (let block = 0; block < padded.length; block += 64) mix(state, schedule(view, block), round);
  return state.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

function schedule(view: DataView, block: number): number[] {
  const words = Array.from({ length: 16 }, (_, index) => view.getInt32(block + index * 4));
  const at = (index: number): number => words[index] ?? 0;
  for (let index = 16; index < 64; index++) {
    const [a, b] = [at(index - 15), at(index - 2)];
    const small = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const large = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    words.push((at(index - 16) + small + at(index - 7) + large) | 0);
  }
  return words;
}

function mix(state: number[], words: readonly number[], round: readonly number[]): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let index = 0; index < 64; index++) {
    const one = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + one + ((e & f) ^ (~e & g)) + (round[index] ?? 0) + (words[index] ?? 0)) | 0;
    const zero = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (zero + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, index) => (state[index] = ((state[index] ?? 0) + word) | 0));
}
