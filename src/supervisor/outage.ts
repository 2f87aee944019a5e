// An outage of a link: since when, how many attempts failed, why; and how often the link came back from one. Pure.
import type { Hint } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { EngineLog } from './engine.ts';
import type { LinkEvent, LinkState, Why } from './link-machine.ts';
import type { TimedError } from './status.ts';

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

/** A step of a link: from a state into another one, by an event. */
export interface LinkStep {
  readonly before: LinkState;
  readonly after: LinkState;
  readonly event: LinkEvent;
}

export function nextOutage(
  outage: Outage,
  { before, after, event }: LinkStep,
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

/** The facts of a step that the log tells. */
export interface StepFacts {
  readonly before: Outage;
  readonly after: LinkState;
  readonly event: LinkEvent;
  /** Why a second session was being dialled; null where none was. */
  readonly why: Why | null;
  /** The failure is a jump host's, whose own link tells it. */
  readonly inherited: boolean;
  readonly nowMs: number;
  /** What to do, in the name of a tunnel behind it. */
  readonly hint: Hint | null;
}

/** A step of a link as the log tells it, once for all the tunnels behind it. */
export function logStep(log: EngineLog, link: string, facts: StepFacts): void {
  const { before, after, event, inherited, nowMs, hint } = facts;
  const cause = event.kind === 'failed' || event.kind === 'lost' ? event.cause : null;
  if (cause !== null) {
    const blocked = after.kind === 'blocked';
    const about = { link, code: cause.code, ...(blocked && hint !== null ? { hint } : {}) };
    return log(inherited ? 'debug' : blocked ? 'error' : 'warn', `link.${after.kind}`, cause.message, about);
  }
  if (after.kind === 'up' && logSecond(log, link, facts)) return;
  if (after.kind !== 'up' || !before.lost)
    return log('debug', `link.${after.kind}`, `link ${link} is ${after.kind}`, { link });
  const awayMs = Math.round(nowMs - before.sinceMs);
  log('info', 'link.up', `${link} is up again after ${roughly(awayMs)}`, { link, awayMs });
}

/** What became of a second session; true where there is something to tell. */
function logSecond(log: EngineLog, link: string, { event, after, why }: StepFacts): boolean {
  const silent = why === 'silence';
  const tell = (level: 'info' | 'warn', name: string, words: string, more = {}): void =>
    log(level, `link.${name}`, words, { link, ...more });
  if (event.kind === 'late') {
    const waits = after.kind === 'up' && after.second?.kind === 'waiting';
    const when = waits ? 'will be dialled, a while after the one before' : 'is dialled';
    tell('info', 'late', `${link} owes an answer: a second session ${when}`);
  } else if (event.kind === 'alive') tell('info', 'alive', `${link} answers: the second dial is given up`);
  else if (event.kind === 'jump-replaced')
    tell('info', 'follows', `${link} follows its jump host to a fresh session`);
  else if (event.kind === 'second-opened') {
    const old = silent ? 'did not answer, and drains' : 'drains';
    tell('info', 'rotated', `${link} has a fresh session; the old one ${old}`);
  } else if (event.kind === 'not-renewed') {
    const end = new Date(event.endsAtMs).toISOString();
    const words = `the user certificate ends ${end} and was not renewed; the session goes on`;
    tell('warn', 'certificate-not-renewed', words);
  } else if (event.kind === 'second-failed') {
    const { message, code } = event.cause;
    const what = silent
      ? 'the second session failed, the first is waited for'
      : 'rotation failed, the old session serves on';
    tell('warn', 'rotation-failed', `${what}: ${message}`, { code });
  } else return false;
  return true;
}

function roughly(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  if (ms < 120_000) return `${Math.round(ms / 1000)}s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)}m` : `${Math.round(ms / 3_600_000)}h`;
}
