// Who waits for a tunnel to be decided (`up`, `wait`, `exec`), and when it is.
import type { TunnelError } from '../errors.ts';
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
    for (const look of [...this.#looks]) look();
  }
}
