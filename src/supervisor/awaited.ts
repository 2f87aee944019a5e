// Tunnels that a command waits for (`up`, `wait`, `exec`): when there is something to answer, and what. The waiters hear the answer.
import { retryHelps, TunnelError } from '../errors.ts';
import { awaitsProbe, failedProbe, isReady, type TunnelStatus } from '../model/status.ts';
import type { Waiting } from './engine.ts';
import type { LinkSnapshot, Verdict } from './status.ts';

export interface Decided {
  readonly wanted: boolean;
  /** The tunnel was wanted when the waiting began or since, and is no longer. */
  readonly takenDown: boolean;
  readonly verdict: Verdict;
  readonly link: LinkSnapshot | null;
  readonly status: Pick<TunnelStatus, 'name' | 'state' | 'forwards' | 'endpoint'>;
}

/** Undefined: not decided yet. Null: the tunnel serves, or sleeps. */
export function decisionOf(waiting: Waiting, facts: Decided): TunnelError | null | undefined {
  const { verdict, link, status } = facts;
  if (waiting === 'wait') {
    if (isReady(status)) return null;
    const error = troubleOf(verdict, link);
    return error === null || retryHelps(error) ? undefined : error;
  }
  if (facts.takenDown) return takenDown(status.name);
  if (status.state === 'asleep') return null;
  if (status.state === 'up') return isServing(waiting, status) ? null : undefined;
  return troubleOf(verdict, link) ?? undefined;
}

/** For `up` a target that does not answer is no trouble of the tunnel; for a program that is to use it, it is. */
function isServing(waiting: Waiting, status: Decided['status']): boolean {
  return waiting === 'exec' ? isReady(status) : !awaitsProbe(status);
}

/** The trouble that a person, or the owner of a port, must see to; null for none. */
function troubleOf({ state, error }: Verdict, link: LinkSnapshot | null): TunnelError | null {
  if (error === null) return null;
  // Somebody is at the question, or a comparison runs whether a command brought the missing thing.
  if (state === 'needs-you') return link?.question || link?.examining ? null : error.error;
  if (state !== 'retrying') return null;
  const { code, facts } = error.error;
  return code === 'LISTEN_FAILED' || (code === 'FORWARD_REFUSED' && facts.forbidden === true)
    ? error.error
    : null;
}

/** The error when the time is over and nothing is decided; null where that is no matter. */
export function lateError(waiting: Waiting, { wanted, verdict, status }: Decided): TunnelError | null {
  const { name, state } = status;
  if (state === 'up' && waiting === 'up') return null;
  if (verdict.error !== null) return verdict.error.error;
  const hint = { command: 'why', on: { tunnel: name } };
  const probe = failedProbe(status);
  if (state === 'up' && probe !== null)
    return new TunnelError('NOT_UP', `probe failed, on ${probe.target}: ${probe.text}`, { hint });
  if (!wanted)
    return new TunnelError('NOT_UP', `${name} is down`, { hint: { command: 'up', on: { tunnel: name } } });
  return new TunnelError('TIMED_OUT', `still connecting to ${status.endpoint}`, { hint });
}

/** Somebody else's `down` is an answer to our `up`: there is nothing to wait for any more. */
function takenDown(name: string): TunnelError {
  return new TunnelError('NOT_UP', `${name} was taken down meanwhile`, {
    hint: { command: 'up', on: { tunnel: name } },
  });
}

export class Waiters {
  readonly #looks = new Set<() => void>();

  get waiting(): boolean {
    return this.#looks.size > 0;
  }

  /** Resolves when `decide` says something, or with `late()` when the signal ends the waiting. */
  wait(
    decide: () => TunnelError | null | undefined,
    late: () => TunnelError | null,
    signal: AbortSignal,
  ): Promise<TunnelError | null> {
    return new Promise((resolve) => {
      const end = (outcome: TunnelError | null): void => {
        this.#looks.delete(look);
        signal.removeEventListener('abort', abort);
        resolve(outcome);
      };
      const abort = (): void => {
        const decided = decide();
        end(decided === undefined ? late() : decided);
      };
      const look = (): void => {
        const decided = decide();
        if (decided !== undefined) end(decided);
      };
      this.#looks.add(look);
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      look();
    });
  }

  /** The tunnel changed. */
  look(): void {
    for (const look of Array.from(this.#looks)) look();
  }
}
