// The state machine of a link. Its table is `step`: an event that has no place in the table changes nothing, and nobody else makes a
// state. The wait before a retry is 1 s the first time, then full jitter under a doubling ceiling (SPEC 3). While a link is up, a
// second session may be dialled beside the first (`rotate`, a certificate that ends, a late answer, another session of the jump host). Pure.
import type { TunnelError } from '../errors.ts';
import { needsPerson, retryHelps } from '../errors.ts';
import type { UserCertificate } from '../model/session.ts';

/** `reconnect:` of a tunnel, in milliseconds. */
export interface BackoffPolicy {
  readonly initialMs: number;
  readonly maxMs: number;
}

/**
 * `attempt` counts the retries since the link was last steady: 0 for the first try, 1 for the first retry. `hurried` counts
 * the waits of this outage that were cut short for a client that is held. Times are monotonic ms.
 */
export type LinkState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting'; readonly attempt: number; readonly hurried: number }
  | {
      readonly kind: 'up';
      readonly sinceMs: number;
      readonly attempt: number;
      readonly second: Second | null;
      readonly doubts: Doubts;
    }
  | {
      readonly kind: 'waiting';
      readonly attempt: number;
      readonly hurried: number;
      readonly untilMs: number;
      readonly cause: TunnelError;
    }
  | { readonly kind: 'blocked'; readonly cause: TunnelError }
  | { readonly kind: 'stopping'; readonly again: boolean };

/**
 * Dials of a second session because the first did not answer, as long as they follow each other closely: what answers late
 * again and again is no reason to hammer its server. `Infinity`: the login was refused, and is not tried for this any more.
 */
export interface Doubts {
  readonly dials: number;
  /** When the last one began. */
  readonly lastMs: number;
}

/** A rotation under way: the session beside the first one is being dialled, or waits to be, after `tries` dials. */
export interface Second {
  readonly kind: 'opening' | 'waiting';
  readonly tries: number;
  readonly why: Why;
}

/** Why a session is to be replaced: its age (`rotate`), its certificate, no answer, or its jump host has another session now. */
export type Why = 'age' | 'certificate' | 'silence' | 'jump';

export type LinkEvent =
  | { readonly kind: 'start' | 'stop' | 'opened' | 'timer' | 'closed' }
  /** A reason to try now: a wake from sleep, another network, a server that answers, a person who said `up`. */
  | { readonly kind: 'kick' }
  /** A client has come to be held. */
  | { readonly kind: 'hurry' }
  /** A person came, or a credential or key store changed: the cause of a block may be gone. */
  | { readonly kind: 'answered' }
  /** The age for a rotation is another one now; a rotation is due; its session is open and took the place of the first. */
  | { readonly kind: 'planned' | 'due' | 'second-opened' }
  | { readonly kind: 'second-failed'; readonly cause: TunnelError }
  /** The second login used the certificate that ends: its session was closed again. */
  | { readonly kind: 'not-renewed'; readonly endsAtMs: number }
  /** The session owes an answer; it gave a sign of life after that. */
  | { readonly kind: 'late' | 'alive' }
  /** The session rides on one of the jump host that was replaced. */
  | { readonly kind: 'jump-replaced' }
  /** An open came to nothing, or a session ended by itself. */
  | { readonly kind: 'failed' | 'lost'; readonly cause: TunnelError };

/**
 * `close` also ends the dial of a second session and takes a plan back, `close-second` ends that dial alone; `drain` is for
 * the session that was replaced; after `forgo` the certificate of this session is no reason any more.
 */
export type LinkEffect =
  | { readonly kind: 'open' | 'close' | 'disarm' | 'probe' }
  | { readonly kind: 'open-second' | 'close-second' | 'drain' | 'unplan' | 'forgo' }
  | { readonly kind: 'arm' | 'plan'; readonly delayMs: number };

export interface MachineEnvironment {
  readonly policy: BackoffPolicy;
  /** Monotonic. */
  readonly now: number;
  /** The age at which a session is replaced; null: never. */
  readonly rotateMs: number | null;
  /** Monotonic: when the session is replaced because its certificate ends; null: never. */
  readonly renewAtMs: number | null;
  /** A second session may be dialled: its login needs no person. */
  readonly doubles: boolean;
  /** A client is held. */
  readonly held: boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface Step {
  readonly state: LinkState;
  readonly effects: readonly LinkEffect[];
}

/** After this long up, the count of retries starts over: a flapping server is not hammered. */
const steadyMs = 30_000;
/** A link that was up so long is dialled at once when it is lost: a server that ends each session at once is not. */
const servedMs = 5_000;
/** While a client is held, so many waits of an outage are at most so long. */
const hurriedWaits = 2;
const hurriedMs = 1_000;

/** After this long without a dial on suspicion, their count starts over: longer than a wait between two of them. */
const calmMs = 60_000;
export const noDoubts: Doubts = { dials: 0, lastMs: 0 };

const firstTry: LinkState = { kind: 'connecting', attempt: 0, hurried: 0 };
const open: LinkEffect = { kind: 'open' };
const close: LinkEffect = { kind: 'close' };
const disarm: LinkEffect = { kind: 'disarm' };
const probe: LinkEffect = { kind: 'probe' };
const openSecond: LinkEffect = { kind: 'open-second' };
const drain: LinkEffect = { kind: 'drain' };
const unplan: LinkEffect = { kind: 'unplan' };
const closeSecond: LinkEffect = { kind: 'close-second' };
const forgo: LinkEffect = { kind: 'forgo' };

export function step(state: LinkState, event: LinkEvent, env: MachineEnvironment): Step {
  switch (state.kind) {
    case 'idle':
      return event.kind === 'start' ? to(firstTry, open) : stay(state);
    case 'connecting':
      return whileConnecting(state, event, env);
    case 'up':
      return whileUp(state, event, env);
    case 'waiting':
      return whileWaiting(state, event, env);
    case 'blocked':
      if (event.kind === 'stop') return to({ kind: 'stopping', again: false }, close);
      if (event.kind === 'answered') return to(firstTry, open);
      return stay(state);
    case 'stopping':
      return whileStopping(state, event);
  }
}

function whileConnecting(
  state: LinkState & { kind: 'connecting' },
  event: LinkEvent,
  env: MachineEnvironment,
): Step {
  if (event.kind === 'stop') return to({ kind: 'stopping', again: false }, close);
  if (event.kind === 'opened') {
    const up: Up = { kind: 'up', sinceMs: env.now, attempt: state.attempt, second: null, doubts: noDoubts };
    return to(up, ...(nextDue(up, env) === null ? [] : [planned(up, env)]));
  }
  if (event.kind !== 'failed' && event.kind !== 'lost') return stay(state);
  // A bug of ours, or a config that cannot work, is told once and not tried for ever.
  if (!retryHelps(event.cause)) return to({ kind: 'blocked', cause: event.cause }, close);
  const retry = state.attempt + 1;
  return wait(
    { retry, hurried: state.hurried, delayMs: backoffMs(retry, env.policy, env.random) },
    event.cause,
    env,
  );
}

type Up = LinkState & { kind: 'up' };

function whileUp(state: Up, event: LinkEvent, env: MachineEnvironment): Step {
  if (event.kind === 'stop') return to({ kind: 'stopping', again: false }, close);
  if (event.kind === 'kick') {
    // a sleep or a clock that was set brings the end of a certificate nearer than the timer knows
    const nearer = env.renewAtMs !== null && state.second === null;
    return to(state, probe, ...(nearer ? [planned(state, env)] : []));
  }
  if (event.kind === 'late') return whenLate(state, env);
  if (event.kind === 'alive') return whenAlive(state, env);
  if (event.kind === 'jump-replaced') return whenJumpReplaced(state, env);
  if (isOfRotation(event)) return whileRotating(state, event, env);
  if (event.kind !== 'failed' && event.kind !== 'lost') return stay(state);
  if (needsPerson(event.cause)) return to({ kind: 'blocked', cause: event.cause }, close);
  const upMs = env.now - state.sinceMs;
  const retry = (upMs >= steadyMs ? 0 : state.attempt) + 1;
  if (upMs >= servedMs) return to({ kind: 'connecting', attempt: retry, hurried: 0 }, close, open);
  const delayMs = Math.max(firstWaitMs(env.policy), backoffMs(retry, env.policy, env.random));
  return wait({ retry, hurried: 0, delayMs }, event.cause, env);
}

/** A second session is dialled before the first is given up: it takes over, unless the first answers meanwhile. */
function whenLate(state: Up, { doubles, now, policy, random }: MachineEnvironment): Step {
  const { second, doubts } = state;
  if (!doubles || doubts.dials === Infinity || second?.why === 'silence' || second?.why === 'jump')
    return stay(state);
  // what is dialled for another reason serves for this one too
  if (second?.kind === 'opening') return to({ ...state, second: { ...second, why: 'silence' } });
  const tries = now - doubts.lastMs < calmMs ? doubts.dials : 0;
  if (tries === 0) return dialSecond(state, { tries, why: 'silence' }, now, unplan);
  return to(
    { ...state, second: { kind: 'waiting', tries, why: 'silence' } },
    plan(backoffMs(tries, policy, random)),
  );
}

function dialSecond(
  state: Up,
  { tries, why }: Pick<Second, 'tries' | 'why'>,
  now: number,
  ...before: LinkEffect[]
): Step {
  const doubts = why === 'silence' ? { dials: tries + 1, lastMs: now } : state.doubts;
  return to({ ...state, second: { kind: 'opening', tries, why }, doubts }, ...before, openSecond);
}

/** The old session of the jump host can end only when nothing rides on it; a dial that goes over it begins anew. */
function whenJumpReplaced(state: Up, { doubles, now }: MachineEnvironment): Step {
  const { second, doubts } = state;
  if (!doubles || doubts.dials === Infinity) return stay(state);
  return dialSecond(state, { tries: 0, why: 'jump' }, now, second?.kind === 'opening' ? closeSecond : unplan);
}

function whenAlive(state: Up, env: MachineEnvironment): Step {
  const { second } = state;
  if (second?.why !== 'silence') return stay(state);
  return second.kind === 'opening' ? serveOn(state, env, closeSecond) : serveOn(state, env);
}

type RotationEvent = LinkEvent & {
  kind: 'planned' | 'due' | 'second-opened' | 'second-failed' | 'not-renewed';
};

function isOfRotation(event: LinkEvent): event is RotationEvent {
  return ['planned', 'due', 'second-opened', 'second-failed', 'not-renewed'].includes(event.kind);
}

/** A second dial that fails leaves the first session serving: no outage, and no retry that counts. */
function whileRotating(state: Up, event: RotationEvent, env: MachineEnvironment): Step {
  const { second } = state;
  const { now } = env;
  if (event.kind === 'planned') {
    const goesOn = second?.kind === 'opening' || second?.why === 'silence' || second?.why === 'jump';
    return goesOn ? stay(state) : serveOn(state, env);
  }
  if (event.kind === 'due') return whenDue(state, env);
  if (second?.kind !== 'opening') return stay(state);
  if (event.kind === 'not-renewed') return serveOn(state, { ...env, renewAtMs: null }, forgo);
  if (event.kind === 'second-failed') return afterFailure(state, { ...second, cause: event.cause }, env);
  const attempt = now - state.sinceMs >= steadyMs ? 0 : state.attempt;
  const doubts = state.doubts.dials === Infinity ? noDoubts : state.doubts;
  const up: Up = { kind: 'up', sinceMs: now, attempt, second: null, doubts };
  return to(up, drain, planned(up, env));
}

function whenDue(state: Up, env: MachineEnvironment): Step {
  const { second } = state;
  const due = nextDue(state, env);
  const pressing = second?.why === 'silence' || second?.why === 'jump';
  const why = pressing ? second.why : due === null ? null : (second?.why ?? due.why);
  if (second?.kind === 'opening' || why === null) return stay(state);
  return dialSecond(state, { tries: second?.tries ?? 0, why }, env.now);
}

function afterFailure(
  state: Up,
  { tries, why, cause }: Second & { cause: TunnelError },
  env: MachineEnvironment,
): Step {
  const { rotateMs, policy, random } = env;
  const again = retryHelps(cause);
  const pressing = why === 'silence' || why === 'jump';
  if (pressing && !again) return serveOn({ ...state, doubts: { ...state.doubts, dials: Infinity } }, env);
  if (!pressing && nextDue(state, env) === null) return serveOn(state, env);
  if (!again && (why === 'certificate' || rotateMs === null))
    return serveOn(state, { ...env, renewAtMs: null }, forgo);
  // what a person must see to is not tried on and on: a server bans those who come with a refused login
  const delayMs = again || rotateMs === null ? backoffMs(tries + 1, policy, random) : rotateMs;
  return to({ ...state, second: { kind: 'waiting', tries: tries + 1, why } }, plan(delayMs));
}

/** The session goes on, until it is due by what is a reason now. */
function serveOn(state: Up, env: MachineEnvironment, ...effects: LinkEffect[]): Step {
  return to({ ...state, second: null }, ...effects, planned(state, env));
}

function planned(state: Up, env: MachineEnvironment): LinkEffect {
  const due = nextDue(state, env);
  return due === null ? unplan : plan(Math.max(0, due.atMs - env.now));
}

function nextDue(
  { sinceMs }: Up,
  { rotateMs, renewAtMs }: MachineEnvironment,
): { readonly why: Why; readonly atMs: number } | null {
  const agedMs = rotateMs === null ? null : sinceMs + rotateMs;
  if (agedMs !== null && (renewAtMs === null || agedMs <= renewAtMs)) return { why: 'age', atMs: agedMs };
  return renewAtMs === null ? null : { why: 'certificate', atMs: renewAtMs };
}

/** So long before its certificate ends a session is replaced, or a tenth of what was left at its login where that is less. */
const renewalMs = 300_000;

/**
 * When a session that logged in now is to be replaced for its certificate, by the wall clock; null: never. `renewBeforeMs`: so
 * long before its end a command makes a new one, never sooner; null: somebody else does.
 */
export function renewalAt(
  certificate: UserCertificate | undefined,
  nowMs: number,
  renewBeforeMs: number | null = null,
): number | null {
  if (certificate === undefined || certificate.endsAtMs <= nowMs) return null;
  const leftMs = certificate.endsAtMs - nowMs;
  const meantMs = renewBeforeMs ?? renewalMs;
  // of one that lasts hardly longer than that every session would be replaced as soon as it is there
  const isShort = renewBeforeMs !== null && meantMs <= leftMs / 2;
  return certificate.endsAtMs - (isShort ? meantMs : Math.min(meantMs, leftMs / 10));
}

function plan(delayMs: number): LinkEffect {
  return { kind: 'plan', delayMs };
}

function whileWaiting(
  state: LinkState & { kind: 'waiting' },
  event: LinkEvent,
  { now }: MachineEnvironment,
): Step {
  const { attempt, hurried } = state;
  if (event.kind === 'stop') return to({ kind: 'stopping', again: false }, disarm, close);
  if (event.kind === 'kick') return to({ kind: 'connecting', attempt, hurried }, disarm, open);
  if (event.kind === 'timer') return to({ kind: 'connecting', attempt, hurried }, open);
  const late = state.untilMs - now > hurriedMs;
  if (event.kind !== 'hurry' || !late || hurried >= hurriedWaits) return stay(state);
  return to({ ...state, hurried: hurried + 1, untilMs: now + hurriedMs }, disarm, {
    kind: 'arm',
    delayMs: hurriedMs,
  });
}

function whileStopping(state: LinkState & { kind: 'stopping' }, event: LinkEvent): Step {
  if (event.kind === 'start') return to({ kind: 'stopping', again: true });
  if (event.kind === 'stop') return to({ kind: 'stopping', again: false });
  if (event.kind !== 'closed') return stay(state);
  return state.again ? to(firstTry, open) : to({ kind: 'idle' });
}

/** Before the first retry: a server that answered and then failed us must not count us among its attackers. */
function firstWaitMs({ maxMs }: BackoffPolicy): number {
  return Math.min(1_000, maxMs);
}

/**
 * Milliseconds to wait before retry number `retry` (1 is the first after a failure or a loss).
 * `random` is uniform in [0, 1). Full jitter, so that many clients of one server do not come back in step.
 */
export function backoffMs(retry: number, policy: BackoffPolicy, random: () => number): number {
  if (retry <= 1) return firstWaitMs(policy);
  const ceiling = Math.min(policy.maxMs, policy.initialMs * 2 ** (retry - 2));
  return Math.round(random() * ceiling);
}

interface Wait {
  readonly retry: number;
  readonly hurried: number;
  readonly delayMs: number;
}

/** However long the outages before were, a client that is held now does not wait for them. */
function wait({ retry, hurried, delayMs }: Wait, cause: TunnelError, env: MachineEnvironment): Step {
  const hurry = env.held && hurried < hurriedWaits;
  const ms = hurry ? Math.min(delayMs, hurriedMs) : delayMs;
  const used = hurry ? hurried + 1 : hurried;
  const untilMs = env.now + ms;
  const state: LinkState = { kind: 'waiting', attempt: retry, hurried: used, untilMs, cause };
  return to(state, close, { kind: 'arm', delayMs: ms });
}

function to(state: LinkState, ...effects: LinkEffect[]): Step {
  return { state, effects };
}

function stay(state: LinkState): Step {
  return { state, effects: [] };
}
