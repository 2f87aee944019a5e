// The state machine of a link: what is not in the table of DESIGN 6 changes nothing. Only `step` makes a state.
import type { TunnelError } from '../errors.ts';
import { needsPerson, retryHelps } from '../errors.ts';
import { backoffMs } from './backoff.ts';
import type { BackoffPolicy } from './backoff.ts';

/** `attempt` counts the retries of this outage: 0 for the first try, 1 for the first retry. Times are monotonic ms. */
export type LinkState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting'; readonly attempt: number }
  | { readonly kind: 'up'; readonly sinceMs: number; readonly attempt: number }
  | {
      readonly kind: 'waiting';
      readonly attempt: number;
      readonly untilMs: number;
      readonly cause: TunnelError;
    }
  | { readonly kind: 'blocked'; readonly cause: TunnelError }
  | { readonly kind: 'stopping'; readonly again: boolean };

export type LinkEvent =
  | { readonly kind: 'start' | 'stop' | 'opened' | 'timer' | 'closed' }
  /** The weather: a wake from sleep, another network, a knock that got through, a person who said `up`. */
  | { readonly kind: 'kick' }
  /** A person, a changed credential or a changed key store: what blocked may be gone. */
  | { readonly kind: 'answered' }
  /** An open came to nothing, or a session ended by itself. */
  | { readonly kind: 'failed' | 'lost'; readonly cause: TunnelError };

export type LinkEffect =
  | { readonly kind: 'open' | 'close' | 'disarm' | 'probe' }
  | { readonly kind: 'arm'; readonly delayMs: number };

export interface MachineEnvironment {
  readonly policy: BackoffPolicy;
  /** Monotonic. */
  readonly now: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface Step {
  readonly state: LinkState;
  readonly effects: readonly LinkEffect[];
}

/** After this long up, the count of retries starts over: a flapping server is not hammered. */
export const steadyMs = 30_000;

const open: LinkEffect = { kind: 'open' };
const close: LinkEffect = { kind: 'close' };
const disarm: LinkEffect = { kind: 'disarm' };
const probe: LinkEffect = { kind: 'probe' };

export function step(state: LinkState, event: LinkEvent, env: MachineEnvironment): Step {
  switch (state.kind) {
    case 'idle':
      return event.kind === 'start' ? to({ kind: 'connecting', attempt: 0 }, open) : stay(state);
    case 'connecting':
      return whileConnecting(state, event, env);
    case 'up':
      return whileUp(state, event, env);
    case 'waiting':
      return whileWaiting(state, event);
    case 'blocked':
      if (event.kind === 'stop') return to({ kind: 'stopping', again: false }, close);
      if (event.kind === 'answered') return to({ kind: 'connecting', attempt: 0 }, open);
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
  if (event.kind === 'opened') return to({ kind: 'up', sinceMs: env.now, attempt: state.attempt });
  if (event.kind !== 'failed' && event.kind !== 'lost') return stay(state);
  // A bug of ours, or a config that cannot work: it is told once, and not tried for ever.
  if (!retryHelps(event.cause.code)) return to({ kind: 'blocked', cause: event.cause }, close);
  return wait(state.attempt + 1, event.cause, env);
}

function whileUp(state: LinkState & { kind: 'up' }, event: LinkEvent, env: MachineEnvironment): Step {
  if (event.kind === 'stop') return to({ kind: 'stopping', again: false }, close);
  if (event.kind === 'kick') return to(state, probe);
  if (event.kind !== 'failed' && event.kind !== 'lost') return stay(state);
  if (needsPerson(event.cause.code)) return to({ kind: 'blocked', cause: event.cause }, close);
  const steady = env.now - state.sinceMs >= steadyMs;
  const retry = (steady ? 0 : state.attempt) + 1;
  if (retry === 1) return to({ kind: 'connecting', attempt: 1 }, close, open);
  return wait(retry, event.cause, env);
}

function whileWaiting(state: LinkState & { kind: 'waiting' }, event: LinkEvent): Step {
  if (event.kind === 'stop') return to({ kind: 'stopping', again: false }, disarm, close);
  if (event.kind === 'kick') return to({ kind: 'connecting', attempt: state.attempt }, disarm, open);
  if (event.kind === 'timer') return to({ kind: 'connecting', attempt: state.attempt }, open);
  return stay(state);
}

function whileStopping(state: LinkState & { kind: 'stopping' }, event: LinkEvent): Step {
  if (event.kind === 'start') return to({ kind: 'stopping', again: true });
  if (event.kind === 'stop') return to({ kind: 'stopping', again: false });
  if (event.kind !== 'closed') return stay(state);
  return state.again ? to({ kind: 'connecting', attempt: 0 }, open) : to({ kind: 'idle' });
}

/**
 * Only where nothing answered at TCP level is the first retry at once: a server that answered and then failed us gets
 * the full backoff, or it counts us among its attackers (sshd_config(5), PerSourcePenalties).
 */
function wait(retry: number, cause: TunnelError, env: MachineEnvironment): Step {
  const counted = cause.facts['tcpLevel'] === true ? retry : Math.max(retry, 2);
  const delayMs = backoffMs(counted, env.policy, env.random);
  const state: LinkState = { kind: 'waiting', attempt: retry, untilMs: env.now + delayMs, cause };
  return to(state, close, { kind: 'arm', delayMs });
}

function to(state: LinkState, ...effects: LinkEffect[]): Step {
  return { state, effects };
}

function stay(state: LinkState): Step {
  return { state, effects: [] };
}
