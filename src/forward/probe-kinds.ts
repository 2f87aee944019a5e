// The probes themselves: what each says to a target, and what the answer means. Each is a few bytes and leaves quietly.
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { runInNewContext } from 'node:vm';
import { cleanText } from '../model/clean.ts';
import type { Probe } from '../model/forward.ts';

/** One check over an open stream: answers what was seen, or throws ProbeFailed with the reason. */
type Check = (stream: Duplex) => Promise<string>;

/** A new kind of probe is a line here, its type in model/forward, its form in config/special-values, its text in config/schema. */
const checks: { readonly [Kind in Probe['kind']]: (probe: Extract<Probe, { kind: Kind }>) => Check } = {
  tcp: () => () => Promise.resolve('target open'),
  http: ({ url }) => checkHttp(new URL(url)),
  greeting: ({ pattern }) => checkGreeting(pattern),
  postgres: () => checkPostgres,
  redis: () => checkRedis,
};

export function checkOf(probe: Probe): Check {
  return (checks[probe.kind] as (probe: Probe) => Check)(probe);
}

const headLimit = 8 * 1024;
const greetingLimit = 1024;
/** A pattern that takes longer on 1 KiB would never end: it is stopped. */
const matchMs = 100;

/** Asks for the page and reads the status line. Any answer below 500 is a server that works. */
function checkHttp(url: URL): Check {
  const path = `${url.pathname}${url.search}`;
  const request = `GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\nUser-Agent: tunnel\r\nAccept: */*\r\nConnection: close\r\n\r\n`;
  const statusLine = (bytes: Buffer): RegExpExecArray | null =>
    /^HTTP\/\d(?:\.\d)? (\d{3})/.exec(bytes.toString('latin1'));
  return async (plain) => {
    const stream = url.protocol === 'https:' ? await secure(plain, url.hostname) : plain;
    stream.write(request);
    const match = await readUntil(stream, statusLine, headLimit, 'target does not speak HTTP');
    const text = `${url.protocol.slice(0, -1)} ${match[1]}`;
    if (Number(match[1]) >= 500) throw new ProbeFailed(text);
    return text;
  };
}

/** The certificate is not checked: nothing secret is sent, and whether the target lives is all that is asked. */
function secure(stream: Duplex, host: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const name = /^[\d.]+$|:|^\[/.test(host) ? {} : { servername: host };
    const wrapped = connectTls({
      socket: stream,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      ...name,
    });
    wrapped.once('secureConnect', () => resolve(wrapped));
    wrapped.on('error', (error) =>
      reject(new ProbeFailed(`target does not speak TLS (${cleanText(error.message)})`)),
    );
    wrapped.once('close', () => reject(new ProbeFailed('target does not speak TLS')));
  });
}

/** The target speaks first (ssh, smtp, mysql, ftp): its first bytes must match. */
function checkGreeting(pattern: string): Check {
  return async (stream) => {
    let said = '';
    const matched = (bytes: Buffer): string | null => {
      said = bytes.toString('latin1');
      return matches(pattern, said) ? said : null;
    };
    try {
      return firstLine(await readUntil(stream, matched, greetingLimit, ''));
    } catch (error) {
      if (!(error instanceof ProbeFailed)) throw error;
      throw new ProbeFailed(said === '' ? 'target said nothing' : `target said ${firstLine(said)}`);
    }
  };
}

/** In a context of its own, since only there can a match that does not end be stopped. */
function matches(pattern: string, text: string): boolean {
  try {
    return (
      runInNewContext('new RegExp(pattern, "m").test(text)', { pattern, text }, { timeout: matchMs }) === true
    );
  } catch {
    return false; // too slow, or no pattern at all: the config has checked it
  }
}

function firstLine(text: string): string {
  const line = cleanText(text.split(/\r?\n/)[0] ?? '').trim();
  return line.length > 60 ? `${line.slice(0, 60)}…` : line || 'something unreadable';
}

/** SSLRequest (protocol 3, "Message Formats"): S or N is PostgreSQL, and neither is worth a line in its log. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * PostgreSQL. The version is told only to who may log in (`trust`): a client that leaves when it is asked for a
 * password is one that a server does not log. A server that answers otherwise is still PostgreSQL.
 */
const checkPostgres: Check = async (stream) => {
  stream.write(sslRequest);
  const answer = await readUntil(stream, (bytes) => bytes[0] ?? null, 1, 'target does not speak PostgreSQL');
  // After S the server wants TLS: enough is known.
  if (answer === 0x53) return 'postgres';
  if (answer !== 0x4e) throw new ProbeFailed('target does not speak PostgreSQL');
  stream.write(startup);
  const version = await readUntil(stream, serverVersion, headLimit, '').catch(() => '');
  stream.write(Buffer.from([0x58, 0, 0, 0, 4])); // Terminate
  return version === '' ? 'postgres' : `postgres ${version}`;
};

const startup = ((): Buffer => {
  const words = Buffer.from('user\0postgres\0database\0postgres\0application_name\0tunnel\0\0', 'latin1');
  const head = Buffer.alloc(8);
  head.writeUInt32BE(words.length + 8, 0);
  head.writeUInt32BE(196_608, 4); // 3.0
  return Buffer.concat([head, words]);
})();

/** The major version of ParameterStatus `server_version`; '' when something else than AuthenticationOk came. */
function serverVersion(bytes: Buffer): string | null {
  for (let at = 0; at + 5 <= bytes.length;) {
    const type = String.fromCharCode(bytes[at] ?? 0);
    const end = at + 1 + bytes.readUInt32BE(at + 1);
    if (bytes.length < end && type !== 'R') return null;
    if (type === 'E' || type === 'Z' || end <= at + 4) return '';
    if (type === 'R' && bytes.length >= at + 9 && bytes.readUInt32BE(at + 5) !== 0) return '';
    const match =
      type === 'S' ? /^server_version\0(\d{1,3})/.exec(bytes.toString('latin1', at + 5, end)) : null;
    if (match !== null) return match[1] ?? '';
    at = end;
  }
  return null;
}

/** An inline PING: +PONG, or an error that only Redis says. */
const checkRedis: Check = async (stream) => {
  stream.write('PING\r\n');
  const line = (bytes: Buffer): string | null => {
    const end = bytes.indexOf('\r\n');
    return end === -1 ? null : bytes.toString('latin1', 0, end);
  };
  const said = await readUntil(stream, line, greetingLimit, 'target does not speak Redis');
  if (said === '+PONG') return 'redis';
  if (/^-(NOAUTH|WRONGPASS|NOPERM|DENIED)\b/.test(said)) return 'redis, wants a password';
  if (/^-(LOADING|BUSY|MASTERDOWN)\b/.test(said))
    throw new ProbeFailed(`redis says ${firstLine(said.slice(1))}`);
  throw new ProbeFailed('target does not speak Redis');
};

/** The other side said nothing more; or never what was waited for. */
export class ProbeFailed extends Error {
  override readonly name = 'ProbeFailed';
}

/**
 * Reads until `found` makes something of what has come; at most `limit` bytes.
 * Throws ProbeFailed with `missing` when the stream ends or the limit is reached before.
 */
export function readUntil<T>(
  stream: Duplex,
  found: (bytes: Buffer) => T | null,
  limit: number,
  missing: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let got: Buffer = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      stream.off('data', more);
      stream.off('end', ended);
      stream.off('close', ended);
      stream.pause();
      act();
    };
    const ended = (): void => settle(() => reject(new ProbeFailed(missing)));
    const more = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]).subarray(0, limit);
      try {
        const answer = found(got);
        if (answer !== null) settle(() => resolve(answer));
        else if (got.length >= limit) ended();
      } catch (thrown) {
        settle(() => reject(thrown as Error)); // thrown into a stream it would end the supervisor
      }
    };
    stream.on('data', more);
    stream.on('end', ended);
    stream.on('close', ended);
    stream.resume();
    if (stream.destroyed || stream.readableEnded) ended();
  });
}
