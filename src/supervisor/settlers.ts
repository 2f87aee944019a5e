// Who waits for a tunnel to be decided (`up`, `wait`, `exec`), and when it is.
import { TunnelError } from '../errors.ts';
import type { LinkSnapshot } from './link-snapshot.ts';
import type { Verdict } from './status.ts';

/** Undefined: not decided yet. Null: it serves, or sleeps. Else what a person, or the owner of a port, must see to. */
export function decisionOf(verdict: Verdict, link: LinkSnapshot | null): TunnelError | null | undefined {
  const { state, error } = verdict;
  if (state === 'up' || state === 'asleep') return null;
  if (error === null) return undefined;
  // Somebody is at the question, or it is being found out whether a command brought what was missing.
  if (state === 'needs-you') return link?.question || link?.examining ? undefined : error.error;
  if (state !== 'retrying') return undefined;
  const { code, facts } = error.error;
  return code === 'LISTEN_FAILED' || (code === 'FORWARD_REFUSED' && facts['forbidden'] === true)
    ? error.error
    : undefined;
}

/** What to say when the time is over and nothing is decided. */
export function lateError(name: string, wanted: boolean, verdict: Verdict): TunnelError {
  if (verdict.error !== null) return verdict.error.error;
  if (!wanted)
    return new TunnelError('NOT_UP', `wait failed, on ${name}: it is down`, { hint: `tunnel up ${name}` });
  const hint = `tunnel why ${name}`;
  return new TunnelError('TIMED_OUT', `up failed, on ${name}: it is still connecting`, { hint });
}

export class Settlers {
  readonly #looks = new Set<() => void>();

  get waiting(): boolean {
    return this.#looks.size > 0;
  }

  /** Resolves when `decide` says something, or with `late()` when the signal ends the waiting. */
  wait(
    decide: () => TunnelError | null | undefined,
    late: () => TunnelError,
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
