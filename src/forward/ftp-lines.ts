// FTP's control connection (RFC 959, RFC 2428) as lines: what a tunnel must know of commands and replies. Pure.

/** Longer lines than this are nobody's; what is beyond is dropped with its line. */
const lineLimit = 8 * 1024;

/** Cuts a stream into lines, each with its line end. */
export class LineReader {
  #pending: Buffer = Buffer.alloc(0);
  #dropping = false;

  /** Bytes of a line that is not complete yet. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Whole lines of what has come so far; null stands for a line that was too long. */
  push(chunk: Buffer): (Buffer | null)[] {
    const lines: (Buffer | null)[] = [];
    let rest = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const end = rest.indexOf(0x0a);
      if (end === -1) break;
      lines.push(this.#dropping || end >= lineLimit ? null : rest.subarray(0, end + 1));
      this.#dropping = false;
      rest = rest.subarray(end + 1);
    }
    if (rest.length >= lineLimit) {
      this.#dropping = true;
      rest = Buffer.alloc(0);
    }
    this.#pending = Buffer.from(rest); // the chunk's memory is its writer's again
    return lines;
  }

  /** What is left when the stream ends. */
  rest(): Buffer {
    const { length } = this.#pending;
    const rest = this.#pending;
    this.#pending = Buffer.alloc(0);
    return length > 0 && !this.#dropping ? rest : Buffer.alloc(0);
  }
}

/** What is to be done with a command of the client. */
export type Command =
  /** `line` goes to the server. */
  | { readonly kind: 'pass'; readonly line: Buffer; readonly verb: string }
  /** Answered by us, in its turn. */
  | { readonly kind: 'answer'; readonly reply: Buffer; readonly verb: string };

const reply = (text: string): Buffer => Buffer.from(`${text}\r\n`);

const answers: Readonly<Record<string, Buffer>> = {
  PORT: reply('502 An SSH tunnel cannot carry active mode: use passive mode (PASV or EPSV).'),
  EPRT: reply('522 An SSH tunnel cannot carry active mode: use passive mode (EPSV).'),
  LPRT: reply('502 An SSH tunnel cannot carry active mode: use passive mode (PASV or EPSV).'),
  LPSV: reply('502 Use PASV or EPSV.'),
  AUTH: reply('502 The SSH tunnel encrypts this connection already; go on without TLS.'),
};

export const lineTooLong = reply('500 Line too long.');
export const cannotListen = reply('425 The tunnel cannot open a data port here.');
export const cannotUnderstand = reply('425 The tunnel does not understand the server: no data connection.');

/** Telnet's interrupt and mark before an ABOR (RFC 959 4.1.3): their urgency cannot cross, so they are left out. */
function withoutTelnet(line: Buffer): Buffer {
  let from = 0;
  while (line[from] === 0xff || (line[from] ?? 0) >= 0xf0) from += 1;
  return from === 0 ? line : line.subarray(from);
}

export function readCommand(line: Buffer): Command {
  const plain = withoutTelnet(line);
  const verb = /^[A-Za-z]{1,8}/.exec(plain.toString('latin1', 0, 8))?.[0].toUpperCase() ?? '';
  const answer = Object.hasOwn(answers, verb) ? answers[verb] : undefined;
  return answer === undefined ? { kind: 'pass', line: plain, verb } : { kind: 'answer', reply: answer, verb };
}

/** What a line of the server is. */
export type Reply =
  /** A line within a reply of several, or none of a reply's. */
  | { readonly kind: 'text' }
  /** The last line of a reply. 1xx: another reply to the same command follows. */
  | { readonly kind: 'final'; readonly code: number; readonly passivePort: number | null };

/** Tells final lines from those within a reply: "123-" opens one, "123 " ends it (RFC 959 4.2). */
export class ReplyReader {
  #within: string | null = null;

  read(line: Buffer): Reply {
    const text = line.toString('latin1');
    const match = /^(\d{3})([ -]|\r?\n)/.exec(text);
    const code = match?.[1] ?? '';
    if (this.#within !== null && (code !== this.#within || match?.[2] === '-')) return { kind: 'text' };
    if (match === null) return { kind: 'text' };
    if (match[2] === '-') {
      this.#within = code;
      return { kind: 'text' };
    }
    this.#within = null;
    return { kind: 'final', code: Number(code), passivePort: passivePort(code, text) };
  }
}

/** The port of a 227 (its address is ignored: often wrong behind NAT, and following it is a bounce attack) or 229. */
function passivePort(code: string, text: string): number | null {
  if (code === '227') {
    const numbers = /(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})/
      .exec(text.slice(3))
      ?.slice(1);
    if (numbers === undefined || numbers.some((number) => Number(number) > 255)) return null;
    return validPort(Number(numbers[4]) * 256 + Number(numbers[5]));
  }
  if (code !== '229') return null;
  return validPort(Number(/\(([\x21-\x7e])\1\1(\d{1,5})\1\)/.exec(text)?.[2] ?? 0));
}

function validPort(port: number): number | null {
  return port > 0 && port < 65_536 ? port : null;
}

/** A passive reply that names our port; `address` is where the client reached us. Null: IPv4 is needed and is not. */
export function passiveReply(code: number, address: string, port: number): Buffer | null {
  if (code === 229) return reply(`229 Entering Extended Passive Mode (|||${port}|)`);
  const plain = plainAddress(address);
  const host = plain === '::1' ? '127.0.0.1' : plain;
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(host)) return null;
  return reply(`227 Entering Passive Mode (${host.replaceAll('.', ',')},${port >> 8},${port & 255}).`);
}

/** IPv4 in its own form, also when it came through an IPv6 socket. */
export function plainAddress(address: string): string {
  return address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '');
}
