// One attempt of a link: its ways in order, the jump host first, until one of them logs in.
import type { TunnelError } from '../errors.ts';
import { asTunnelError, needsPerson, retryHelps } from '../errors.ts';
import { abortable } from '../model/abortable.ts';
import { tcp } from '../model/endpoint.ts';
import type { Host, Way } from '../model/host.ts';
import type { Dialer, OpenTransport, Session } from '../model/session.ts';

export interface AttemptParts {
  readonly dialer: Dialer;
  readonly ways: readonly Way[];
  /** The way to try first: the one that worked last. */
  readonly first: number;
  /** The session of the jump host of a way, as soon as it is up. Rejects with the jump host's failure. */
  readonly jump: (index: number, signal: AbortSignal) => Promise<Session>;
  /** A transport that a knock left, taken; null for none. */
  readonly takeTransport: () => OpenTransport | null;
  /** Where a knock that succeeds during the attempt leaves its transport, null to connect anew; null: too late. */
  readonly awaitKnock: (take: ((transport: OpenTransport | null) => void) | null) => void;
  /** False: a login would need a person and nobody is there. Only TCP is tried. */
  readonly mayLogIn: () => boolean;
  /** What to say when the server answers and no login may begin. */
  readonly wantsPerson: () => TunnelError;
  /** One login over the way with this index; its host is the last one of the way. */
  readonly dial: (index: number, from: DialFrom, signal: AbortSignal) => Promise<Session>;
}

type DialFrom = Parameters<Dialer['dial']>[1];

export type AttemptResult =
  | { readonly kind: 'opened'; readonly session: Session; readonly index: number }
  /** `inherited`: it is the failure of a jump host. */
  | { readonly kind: 'failed'; readonly cause: TunnelError; readonly inherited: boolean };

type Failed = AttemptResult & { kind: 'failed' };

/** Rejects only when the signal is aborted. A session that arrives after that is closed. */
export async function attempt(parts: AttemptParts, signal: AbortSignal): Promise<AttemptResult> {
  const failures: Failed[] = [];
  const order = [parts.first, ...parts.ways.keys()].filter((way, place, all) => all.indexOf(way) === place);
  for (const index of order) {
    const result = await openWay(parts, index, signal);
    if (result.kind === 'opened') return result;
    failures.push(result);
    // The server itself refused us: another way leads to the same refusal, and counts as one more attempt there.
    if (!result.inherited && needsPerson(result.cause)) return result;
  }
  return failures.find(({ cause }) => retryHelps(cause)) ?? (failures[0] as Failed);
}

async function openWay(parts: AttemptParts, index: number, signal: AbortSignal): Promise<AttemptResult> {
  const way = parts.ways[index] as Way;
  const host = way.at(-1) as Host;
  let via: Session | null = null;
  if (way.length > 1) {
    try {
      via = await parts.jump(index, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      return { kind: 'failed', cause: asTunnelError(thrown), inherited: true };
    }
  }
  try {
    if (!parts.mayLogIn()) {
      await answers(parts, host, via, signal);
      throw parts.wantsPerson();
    }
    const session = await (via === null
      ? dialFirst(parts, index, signal)
      : dialVia(parts, index, via, signal));
    return { kind: 'opened', session, index };
  } catch (thrown) {
    signal.throwIfAborted();
    return { kind: 'failed', cause: asTunnelError(thrown), inherited: false };
  }
}

function closeLate(session: Session): void {
  void session.close();
}

function dialVia(parts: AttemptParts, index: number, via: Session, signal: AbortSignal): Promise<Session> {
  return abortable(parts.dial(index, { via, transport: null }, signal), signal, closeLate);
}

/** A dial whose TCP connect hangs gives way to a knock that got through, or to a new network. */
async function dialFirst(parts: AttemptParts, index: number, signal: AbortSignal): Promise<Session> {
  const { dial, awaitKnock } = parts;
  let transport = parts.takeTransport();
  try {
    for (;;) {
      const hanging = new AbortController();
      const until = AbortSignal.any([signal, hanging.signal]);
      const better: { transport: OpenTransport | null }[] = [];
      awaitKnock((knocked) => {
        better.push({ transport: knocked });
        hanging.abort(new Error('a later connect is better'));
      });
      try {
        return await abortable(dial(index, { via: null, transport }, until), until, closeLate);
      } catch (thrown) {
        const next = better[0];
        if (next === undefined) throw thrown;
        if (signal.aborted) next.transport?.destroy();
        signal.throwIfAborted();
        transport = next.transport;
      }
    }
  } finally {
    awaitKnock(null);
  }
}

/** Resolves when the server takes a TCP connection; nothing is sent. */
async function answers(
  parts: AttemptParts,
  host: Host,
  via: Session | null,
  signal: AbortSignal,
): Promise<void> {
  if (via !== null) {
    const limits = { timeoutMs: host.connectTimeoutMs, signal };
    const channel = await via.openChannel(
      tcp(host.hostname, host.port),
      { host: '127.0.0.1', port: 0 },
      limits,
    );
    channel.close();
    return;
  }
  const destroy = (transport: OpenTransport | null): void => transport?.destroy();
  const left = parts.takeTransport();
  if (left !== null) destroy(left);
  else destroy(await abortable(parts.dialer.reach(host, signal), signal, destroy));
}
