// What a supervisor remembers on disk: which tunnels are wanted, and the history of their states. Where nothing can be written, nothing.
import { asTunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { StateChange } from '../model/history.ts';
import type { TunnelStatus } from '../model/status.ts';
import type { SupervisorPlaces } from '../paths.ts';
import { openWanted, type Wanted, type WantedFile } from '../control/wanted.ts';
import { openHistory, type HistoryFile } from './history.ts';
import type { Log } from './log.ts';

interface RecordParts {
  readonly at: SupervisorPlaces;
  readonly clock: Clock;
  readonly log: Log;
  readonly wanted: Wanted;
  readonly writable: boolean;
}

export function openWantedMarks({ at, log, wanted, writable }: RecordParts): WantedFile {
  if (!writable) return { remember: () => undefined, written: () => Promise.resolve() };
  return openWanted(at.wanted, wanted, (failure) => {
    log.write('error', 'wanted', `${at.wanted} cannot be written: ${asTunnelError(failure).message}`);
  });
}

export function openStateHistory({ at, clock, log, writable }: RecordParts): HistoryFile | null {
  if (!writable) return null;
  return openHistory(at.history, clock, (failure) => {
    log.write('error', 'history', `${at.history} cannot be written: ${asTunnelError(failure).message}`);
  });
}

/** How tunnels came into their states, for a history that begins when they are in them. */
export function arrivals(statuses: readonly TunnelStatus[], atMs: number): readonly StateChange[] {
  return statuses
    .filter(({ state }) => state !== 'down')
    .map(({ name: tunnel, state: to, error }) => {
      const { code, message } = error ?? { code: null, message: null };
      return { atMs, tunnel, from: 'down' as const, to, code, message };
    });
}
