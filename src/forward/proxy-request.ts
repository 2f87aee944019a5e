// The handshake of a proxy client: which protocol it speaks, what it wants, and the reply, within a deadline.
import { createHash, timingSafeEqual } from 'node:crypto';
import { TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { GiveUpSignal } from '../model/give-up.ts';
import type { TcpEndpoint } from '../model/endpoint.ts';
import { httpConnect, httpReply } from './http-connect.ts';
import {
  socks4,
  socks4Reply,
  socks5,
  socks5Reply,
  type CheckLogin,
  type Outcome,
  type Protocol,
  type Stage,
} from './socks.ts';

/** A connection that is read before it is joined to anything: a socket's arrival, or a channel's. */
export interface FirstBytes {
  /** What has come since the last call; reads on. */
  take(): Buffer[];
  /** Bytes for whoever the connection is handed to. */
  putBack(bytes: Buffer): void;
  ended(): boolean;
  /** Called when bytes or the end have come; null: no more. */
  notify(listener: (() => void) | null): void;
  send(bytes: Buffer): void;
}

export type Asked =
  | { readonly kind: 'request'; readonly protocol: Protocol; readonly target: TcpEndpoint }
  /** `reply` is all the client will get. */
  | { readonly kind: 'refused'; readonly reply: Buffer; readonly why: string };

interface HandshakeLimits {
  readonly clock: Clock;
  readonly signal: GiveUpSignal;
  readonly login: CheckLogin;
}

/** A client that has not said what it wants by then is slow on purpose. */
const handshakeMs = 10_000;

export function replyFor(protocol: Protocol, outcome: Outcome): Buffer {
  switch (protocol) {
    case 'socks5':
      return socks5Reply(outcome);
    case 'socks4':
      return socks4Reply(outcome);
    case 'http':
      return httpReply(outcome);
  }
}

/** Compares without telling by its time how much was right. */
export function loginCheck(user: string, password: string): CheckLogin {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const wanted = [digest(user), digest(password)] as const;
  return (givenUser, givenPassword) => {
    const userFits = timingSafeEqual(wanted[0], digest(givenUser));
    return timingSafeEqual(wanted[1], digest(givenPassword)) && userFits;
  };
}

/** The first byte tells the protocols apart: 5, 4, or a capital letter. */
function firstStage(login: CheckLogin): Stage {
  return (bytes) => {
    const first = bytes[0];
    if (first === undefined) return { kind: 'more' };
    if (first === 5) return socks5(login)(bytes);
    if (first === 4) return socks4(login)(bytes);
    if (first >= 0x41 && first <= 0x5a) return httpConnect(login)(bytes);
    return { kind: 'refused', reply: Buffer.alloc(0), why: 'neither SOCKS nor HTTP' };
  };
}

/** A handshake as a function of the bytes: null while more are needed. Replies on the way go to `send`. */
export function createHandshake(
  login: CheckLogin,
  send: (bytes: Buffer) => void,
): (bytes: Buffer) => { readonly asked: Asked; readonly rest: Buffer } | null {
  let stage = firstStage(login);
  let pending: Buffer = Buffer.alloc(0);
  return (bytes) => {
    pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes]);
    for (;;) {
      const parsed = stage(pending);
      switch (parsed.kind) {
        case 'more':
          return null;
        case 'stage':
          send(parsed.reply);
          pending = pending.subarray(parsed.used);
          stage = parsed.next;
          break;
        case 'request': {
          const { protocol, target } = parsed;
          return { asked: { kind: 'request', protocol, target }, rest: pending.subarray(parsed.used) };
        }
        case 'refused':
          return { asked: parsed, rest: Buffer.alloc(0) };
      }
    }
  };
}

/** Asks the client what it wants. Throws TIMED_OUT, or FORWARD_REFUSED when it leaves before it said so. */
export function shakeHands(client: FirstBytes, { clock, signal, login }: HandshakeLimits): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const push = createHandshake(login, (bytes) => client.send(bytes));
    const settle = (): void => {
      cancel();
      client.notify(null);
      signal.removeEventListener('abort', leave);
    };
    const fail = (code: 'TIMED_OUT' | 'FORWARD_REFUSED', why: string): void => {
      settle();
      reject(new TunnelError(code, `client refused: ${why}`));
    };
    const leave = (): void => fail('FORWARD_REFUSED', 'it left before it said what it wants');
    const look = (): void => {
      const chunks = client.take();
      const done = chunks.length === 0 ? null : push(Buffer.concat(chunks));
      if (done === null) {
        if (client.ended()) leave();
        return;
      }
      settle();
      client.putBack(done.rest);
      resolve(done.asked);
    };
    const cancel = clock.schedule(handshakeMs, () =>
      fail('TIMED_OUT', `it did not say what it wants in ${handshakeMs / 1000}s`),
    );
    signal.addEventListener('abort', leave);
    client.notify(look);
    if (signal.aborted) leave();
    else look();
  });
}
