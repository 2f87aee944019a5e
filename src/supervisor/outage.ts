// An outage of a link: since when, how often it was tried, why; and how often the link came back from one. Pure.
import type { TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { EngineLog } from './engine.ts';
import type { LinkEvent, LinkState } from './link-machine.ts';

export interface TimedError {
  readonly error: TunnelError;
  /** Wall clock, milliseconds. */
  readonly atMs: number;
}

export interface Outage {
  /** Monotonic. */
  readonly sinceMs: number;
  /** When an attempt failed or the link was lost last, monotonic. */
  readonly failedAtMs: number;
  /** Failed attempts of this outage. */
  readonly failures: number;
  /** The last failure; null while up, and before the first. */
  readonly failure: TimedError | null;
  /** The link was up and was lost. */
  readonly lost: boolean;
  /** Links that were up, were lost and came up again. */
  readonly comebacks: number;
}

export const noOutage: Outage = {
  sinceMs: 0,
  failedAtMs: 0,
  failures: 0,
  failure: null,
  lost: false,
  comebacks: 0,
};

export function nextOutage(
  outage: Outage,
  before: LinkState,
  after: LinkState,
  event: LinkEvent,
  clock: Pick<Clock, 'now' | 'monotonic'>,
): Outage {
  if (after.kind === 'up') {
    if (before.kind === 'up') return outage;
    return { ...noOutage, comebacks: outage.comebacks + (outage.lost ? 1 : 0) };
  }
  if (after.kind === 'idle' || after.kind === 'stopping') return { ...noOutage, comebacks: outage.comebacks };
  const began = before.kind === 'idle' || before.kind === 'stopping' || before.kind === 'up';
  const base: Outage = began
    ? { ...noOutage, sinceMs: clock.monotonic(), lost: before.kind === 'up', comebacks: outage.comebacks }
    : outage;
  if (event.kind !== 'failed' && event.kind !== 'lost') return base;
  const failures = base.failures + (event.kind === 'failed' ? 1 : 0);
  const failure = { error: event.cause, atMs: clock.now() };
  return { ...base, failures, failure, failedAtMs: clock.monotonic() };
}

/** A step of a link as the log tells it. */
export function logStep(log: EngineLog, link: string, after: LinkState, event: LinkEvent): void {
  const cause = event.kind === 'failed' || event.kind === 'lost' ? event.cause : null;
  const message = cause?.message ?? `link ${link} is ${after.kind}`;
  const code = cause === null ? {} : { code: cause.code };
  log(cause === null ? 'debug' : 'info', `link.${after.kind}`, message, { link, ...code });
}
