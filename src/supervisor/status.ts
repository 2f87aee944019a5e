// Status: what a tunnel is, derived from wanted and actual state. Pure; no status is stored.
import { TunnelError, reportError } from '../errors.ts';
import type { CarrierStatus } from '../model/carrier.ts';
import type { Clock } from '../model/clock.ts';
import { formatEndpoint, isLoopback } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import type { Host } from '../model/host.ts';
import { formatLogin } from '../model/host.ts';
import type { PendingQuestion, Question } from '../model/question.ts';
import type { Session } from '../model/session.ts';
import type { ForwardStatus, StatusError, TunnelState, TunnelStatus } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { LinkState } from './link-machine.ts';
import { questionError } from './questions.ts';

/** An error, and when it came. */
export interface TimedError {
  readonly error: TunnelError;
  /** Wall clock, milliseconds. */
  readonly atMs: number;
}

/** A link at one moment. Where a jump host is in the way, state, failure and next try are those of the jump host. */
export interface LinkSnapshot {
  readonly id: string;
  /** Links of jump hosts that the link rides on, or tries to. */
  readonly rides: readonly string[];
  readonly state: LinkState;
  readonly session: Session | null;
  /** The outage of this link itself: since when (monotonic), and how many attempts failed. */
  readonly awaySinceMs: number;
  readonly failures: number;
  readonly reached: boolean;
  /** Why the link is not up: the login under way waits, or the last failure; null while up, and before the first failure. */
  readonly failure: TimedError | null;
  /** Monotonic. */
  readonly retryAtMs: number | null;
  /** The question that waits for an answer at a terminal. */
  readonly question: PendingQuestion | null;
  /** The question that was asked when nobody was there. */
  readonly unanswered: Question | null;
  /** A comparison runs whether a command brought the missing thing. */
  readonly examining: boolean;
  readonly endpoint: string;
  readonly via: readonly string[];
}

export interface TunnelFacts {
  readonly wanted: boolean;
  readonly closing: boolean;
  /** The tunnel is lazy, and has no link. */
  readonly asleep: boolean;
  /** A local port is being bound. */
  readonly binding: boolean;
  readonly listenFailure: (TimedError & { readonly retryAtMs: number | null }) | null;
  /** A tunnel named by `after:` is not up. */
  readonly waitsFor: TimedError | null;
  readonly link: LinkSnapshot | null;
  readonly carriers: readonly CarrierStatus[];
  readonly now: number;
}

export interface Verdict {
  readonly state: TunnelState;
  /** Why the tunnel is not up; null when it is, or when there is nothing to say yet. */
  readonly error: TimedError | null;
  /** Monotonic. */
  readonly retryAtMs: number | null;
  readonly attempt: number;
}

/** Exactly one state. A trouble that a person must see to comes before one that only takes time. */
export function verdictOf(facts: TunnelFacts): Verdict {
  const { link, listenFailure, waitsFor } = facts;
  if (!facts.wanted || facts.closing) return verdict(facts.closing ? 'stopping' : 'down', null);
  if (link !== null && link.session === null && link.question !== null)
    return verdict('needs-you', { error: questionError(link.question), atMs: facts.now });
  if (link?.state.kind === 'blocked')
    return verdict('needs-you', failureOf(link, link.state.cause, facts.now), link.retryAtMs);
  if (listenFailure !== null) return verdict('retrying', listenFailure, listenFailure.retryAtMs);
  if (link === null) {
    if (facts.asleep && !facts.binding) return verdict('asleep', null);
    return verdict('connecting', waitsFor);
  }
  return link.session === null ? awayVerdict(link, facts.now) : servingVerdict(facts);
}

function awayVerdict(link: LinkSnapshot, now: number): Verdict {
  const { state, failure } = link;
  if (state.kind === 'waiting')
    return verdict('retrying', failureOf(link, state.cause, now), link.retryAtMs, state.attempt);
  return verdict('connecting', failure, null, state.kind === 'connecting' ? state.attempt : 0);
}

/** The link is up: the tunnel is up only when every forward serves. */
function servingVerdict({ carriers, now, binding }: TunnelFacts): Verdict {
  const broken = carriers.find((carrier) => carrier.broken);
  if (broken !== undefined) {
    const error =
      broken.error ??
      new TunnelError('FORWARD_REFUSED', `listen failed, on ${broken.listen}: nothing listens there yet`);
    return verdict('retrying', { error, atMs: broken.errorAtMs ?? now }, broken.retryAtMs ?? null);
  }
  return verdict(!binding && carriers.every(({ bound }) => bound) ? 'up' : 'connecting', null);
}

function verdict(
  state: TunnelState,
  error: TimedError | null,
  retryAtMs: number | null = null,
  attempt = 0,
): Verdict {
  return { state, error, retryAtMs, attempt };
}

function failureOf(link: LinkSnapshot, cause: TunnelError, now: number): TimedError {
  return link.failure?.error === cause ? link.failure : { error: cause, atMs: now };
}

/** `connecting` and `retrying` take turns in one trouble, and share their `since`. */
export function sameStretch(a: TunnelState, b: TunnelState): boolean {
  const stretch = (state: TunnelState): string => (state === 'retrying' ? 'connecting' : state);
  return stretch(a) === stretch(b);
}

function statusError(timed: TimedError | null): StatusError | null {
  return timed === null ? null : { ...reportError(timed.error), at: isoTime(timed.atMs) };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** `failure`: why its port could not be bound. */
export function forwardStatus(
  forward: Forward,
  carrier: CarrierStatus,
  failure: TimedError | null,
  now: number,
): ForwardStatus {
  const { listen, target, bound, exposed, open, held, total, failed, bytesIn, bytesOut, probe } = carrier;
  const own = carrier.error === null ? null : { error: carrier.error, atMs: carrier.errorAtMs ?? now };
  return {
    name: forward.name,
    type: forward.type,
    listen,
    target,
    bound,
    exposed,
    open,
    held,
    total,
    failed,
    bytesIn,
    bytesOut,
    error: statusError(failure ?? own),
    probe,
  };
}

/** The question as status prints it: without what only a terminal needs. */
function plainQuestion(link: LinkSnapshot | null): Question | null {
  if (link === null || link.session !== null) return null;
  const question = link.question ?? (link.state.kind === 'blocked' ? link.unanswered : null);
  if (question === null) return null;
  const { kind, host, text, echo, fingerprint } = question;
  return { kind, host, text, echo, fingerprint };
}

export interface StatusFacts {
  readonly tunnel: Tunnel;
  readonly orphan: boolean;
  readonly wanted: boolean;
  readonly record: {
    readonly verdict: Verdict;
    /** When the tunnel came into its state, wall clock; null when it was never up. */
    readonly sinceMs: number | null;
    readonly reconnects: number;
    readonly lastError: TimedError | null;
  };
  readonly link: LinkSnapshot | null;
  /** Null while nothing listens. */
  readonly forwards: readonly ForwardStatus[] | null;
  readonly clock: Pick<Clock, 'wallAt'>;
}

/** A tunnel as `status --json` prints it (SPEC 4). */
export function tunnelStatus(facts: StatusFacts): TunnelStatus {
  const { tunnel, link, record } = facts;
  const { verdict, sinceMs } = record;
  const way = tunnel.ways[0];
  const session = link?.session ?? null;
  return {
    name: tunnel.name,
    state: verdict.state,
    since: verdict.state === 'down' || sinceMs === null ? null : isoTime(sinceMs),
    tags: tunnel.tags,
    autostart: tunnel.autostart,
    wanted: facts.wanted,
    host: tunnel.host,
    endpoint: link?.endpoint ?? formatLogin(way.at(-1) as Host),
    via: link?.via ?? way.slice(0, -1).map(({ name }) => name),
    link: link?.id ?? null,
    orphan: facts.orphan,
    reconnects: record.reconnects,
    attempt: verdict.attempt,
    retryAt: verdict.retryAtMs === null ? null : isoTime(facts.clock.wallAt(verdict.retryAtMs)),
    latencyMs: session?.latencyMs ?? null,
    error: statusError(verdict.error),
    lastError: statusError(record.lastError),
    question: plainQuestion(link),
    forwards: facts.forwards ?? tunnel.forwards.map(closedForwardStatus),
    algorithms: session?.algorithms ?? null,
  };
}

/** A forward of a tunnel that is down. */
function closedForwardStatus(forward: Forward): ForwardStatus {
  const { name, type, listen } = forward;
  const target = forward.type === 'dynamic' || forward.target === null ? '*' : formatEndpoint(forward.target);
  const counts = { open: 0, held: 0, total: 0, failed: 0, bytesIn: 0, bytesOut: 0 };
  const address = { listen: formatEndpoint(listen), target, bound: false, exposed: !isLoopback(listen) };
  return { name, type, ...address, ...counts, error: null, probe: null };
}
