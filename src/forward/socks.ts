// SOCKS5 (RFC 1928, 1929), SOCKS4 and 4a: a parser that takes bytes as they come, and the replies. Pure.
import type { TcpEndpoint } from '../model/endpoint.ts';

/** How a request ended, in the words that all three protocols can say. */
export type Outcome = 'ok' | 'refused' | 'unreachable' | 'prohibited' | 'timeout' | 'failed';

export type Protocol = 'socks5' | 'socks4' | 'http';

/** True when the client may use the proxy. Null where nobody is asked. */
export type CheckLogin = ((user: string, password: string) => boolean) | null;

/** What a parser makes of the bytes so far. `reply` is to be sent in any case, before anything else. */
export type Parsed =
  | { readonly kind: 'more' }
  /** So much is understood and answered: go on with `next` at `used`. */
  | { readonly kind: 'stage'; readonly used: number; readonly reply: Buffer; readonly next: Stage }
  | {
      readonly kind: 'request';
      readonly used: number;
      readonly protocol: Protocol;
      readonly target: TcpEndpoint;
    }
  | { readonly kind: 'refused'; readonly reply: Buffer; readonly why: string };

export type Stage = (bytes: Buffer) => Parsed;

const more: Parsed = { kind: 'more' };

const socks5Codes: Readonly<Record<Outcome, number>> = {
  ok: 0,
  failed: 1,
  prohibited: 2,
  unreachable: 4,
  refused: 5,
  timeout: 6,
};

export function socks5Reply(outcome: Outcome): Buffer {
  return socks5Answer(socks5Codes[outcome]);
}

/** The bound address is not known here: the server dials. RFC 1928 6 has no way to say so but zeros. */
function socks5Answer(code: number): Buffer {
  return Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
}

export function socks4Reply(outcome: Outcome): Buffer {
  return Buffer.from([0, outcome === 'ok' ? 0x5a : 0x5b, 0, 0, 0, 0, 0, 0]);
}

const noAuthentication = 0;
const userPassword = 2;
const nothingFits = 0xff;

/** The greeting of SOCKS5: version, count, methods. */
export function socks5(login: CheckLogin): Stage {
  return (bytes) => {
    const count = bytes[1];
    if (count === undefined || bytes.length < 2 + count) return more;
    const methods = bytes.subarray(2, 2 + count);
    const used = 2 + count;
    const answer = (method: number, next: Stage): Parsed => ({
      kind: 'stage',
      used,
      reply: Buffer.from([5, method]),
      next,
    });
    if (login === null && methods.includes(noAuthentication)) return answer(noAuthentication, socks5Request);
    // Some clients offer nothing else: where nobody is asked, everybody may come in.
    if (methods.includes(userPassword)) return answer(userPassword, socks5Login(login ?? (() => true)));
    const why = login === null ? 'no way to log in that we know' : 'it offers no user and password';
    return { kind: 'refused', reply: Buffer.from([5, nothingFits]), why };
  };
}

/** RFC 1929: version 1, user, password, each with its length. */
function socks5Login(login: (user: string, password: string) => boolean): Stage {
  return (bytes) => {
    if (bytes[0] !== undefined && bytes[0] !== 1)
      return { kind: 'refused', reply: Buffer.from([1, 1]), why: 'a login of an unknown version' };
    const userEnd = 2 + (bytes[1] ?? 0);
    const passwordLength = bytes[userEnd];
    if (bytes.length < 2 || passwordLength === undefined) return more;
    const used = userEnd + 1 + passwordLength;
    if (bytes.length < used) return more;
    const user = bytes.toString('utf8', 2, userEnd);
    const password = bytes.toString('utf8', userEnd + 1, used);
    if (!login(user, password))
      return { kind: 'refused', reply: Buffer.from([1, 1]), why: 'wrong user or password' };
    return { kind: 'stage', used, reply: Buffer.from([1, 0]), next: socks5Request };
  };
}

/** Version, command, reserved, address type, address, port. */
function socks5Request(bytes: Buffer): Parsed {
  const [version, command, , type] = bytes;
  if (version !== undefined && version !== 5) return refuse5(1, 'not a SOCKS5 request');
  if (type === undefined) return more;
  if (command !== 1) return refuse5(7, 'only CONNECT is possible');
  const length = addressLength(type, bytes[4]);
  if (length === null) return refuse5(8, 'an unknown kind of address');
  const used = 4 + length + 2;
  if (bytes.length < used) return more;
  const host = hostOf(type, bytes.subarray(4, 4 + length));
  const port = bytes.readUInt16BE(used - 2);
  if (host === null || port === 0) return refuse5(1, 'an address that cannot be');
  return { kind: 'request', used, protocol: 'socks5', target: { kind: 'tcp', host, port } };
}

function refuse5(code: number, why: string): Parsed {
  return { kind: 'refused', reply: socks5Answer(code), why };
}

/** Bytes of the address field; 0 while a name's length is not there yet, null for a type that does not exist. */
function addressLength(type: number, first: number | undefined): number | null {
  if (type === 1) return 4;
  if (type === 4) return 16;
  return type === 3 ? 1 + (first ?? 0) : null;
}

function hostOf(type: number, address: Buffer): string | null {
  if (type === 1) return address.join('.');
  if (type === 3) return checkedName(address.subarray(1));
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(index * 2).toString(16));
  return shortestIpv6(groups.join(':'));
}

/** The one written form of an address (RFC 5952), so that allow-lists can be compared with it. */
export function shortestIpv6(address: string): string | null {
  if (!/^[0-9A-Fa-f:.]+$/.test(address)) return null; // a URL would find one behind `user@`, or before a path
  try {
    return new URL(`http://[${address}]/`).hostname.slice(1, -1);
  } catch {
    return null; // not an address
  }
}

/** A name as it may go into a request to the server: printable ASCII, or null. Names resolve at the far end. */
export function checkedName(bytes: Buffer): string | null {
  const name = bytes.toString('latin1');
  if (!/^[\x21-\x7e]{1,255}$/.test(name)) return null;
  const bracketed = /^\[(.+)\]$/.exec(name)?.[1];
  if (bracketed !== undefined || name.includes(':')) return shortestIpv6(bracketed ?? name);
  return name;
}

/** Longer user names or host names than these are nobody's. */
const socks4Field = 256;

/** Version, command, port, address, user, NUL; with 4a a name behind it when the address is 0.0.0.x. */
export function socks4(login: CheckLogin): Stage {
  return (bytes) => {
    if (bytes.length < 9) return more;
    if (bytes[1] !== 1) return refuse4('only CONNECT is possible');
    if (login !== null) return refuse4('SOCKS4 has no password');
    const userEnd = bytes.indexOf(0, 8);
    if (userEnd === -1) return bytes.length > 8 + socks4Field ? refuse4('a user name without end') : more;
    const port = bytes.readUInt16BE(2);
    const address = bytes.subarray(4, 8);
    const named = address.readUInt32BE(0) > 0 && address.readUInt32BE(0) < 256;
    if (!named) return request4(address.join('.'), port, userEnd + 1);
    const nameEnd = bytes.indexOf(0, userEnd + 1);
    if (nameEnd === -1)
      return bytes.length > userEnd + 1 + socks4Field ? refuse4('a host name without end') : more;
    return request4(checkedName(bytes.subarray(userEnd + 1, nameEnd)), port, nameEnd + 1);
  };
}

function request4(host: string | null, port: number, used: number): Parsed {
  if (host === null || port === 0) return refuse4('an address that cannot be');
  return { kind: 'request', used, protocol: 'socks4', target: { kind: 'tcp', host, port } };
}

function refuse4(why: string): Parsed {
  return { kind: 'refused', reply: socks4Reply('failed'), why };
}
