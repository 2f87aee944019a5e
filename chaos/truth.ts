// What the status said over time, held against what was so. Pure.
import type { TunnelStatus } from '../src/model/status.ts';
import { terms } from './terms.ts';

/** So long, at least, a session was silent before it is declared lost: two looks of its keepalive. */
const silentMs = 2 * terms.keepaliveMs;

/** A tunnel's status at a moment of the run's clock, until the next one. */
export interface Sample {
  readonly atMs: number;
  readonly state: string;
  /** The supervisor's own `since`: another one is another link. */
  readonly since: string | null;
  /** It has not been lost since it was up: a listener on the server moves, or has moved, to another session of its link. */
  readonly moved?: boolean;
}

/** A `lastError` that says that a session was lost. */
export interface Loss {
  /** When it was told, on the run's clock. */
  readonly atMs: number;
  readonly message: string;
}

/** The samples of one tunnel, oldest first. */
export type History = readonly Sample[];

/** How late the status may be. */
export const statusBoundMs = 1000;

/**
 * So late may the watcher, a process of its own, tell what `status` said, where the machine is busy. That `status` itself is true in
 * time is judged by `lieAboutCut`.
 */
export const toldLateMs = 3000;

/** What the status said at a moment. */
export function saidAt(history: History, atMs: number): Sample | null {
  return history.findLast((sample) => sample.atMs <= atMs) ?? null;
}

/** Everything it said between two moments, what it said at the first one included. */
export function saidBetween(history: History, fromMs: number, toMs: number): Sample[] {
  const first = saidAt(history, fromMs);
  const rest = history.filter(({ atMs }) => atMs > fromMs && atMs <= toMs);
  return first === null ? rest : [first, ...rest];
}

/** Since when the tunnel had not been up at a moment, by its own word; null when it was up, or when it does not say. */
export function awaySince(history: History, atMs: number): string | null {
  const before = history.filter((sample) => sample.atMs <= atMs);
  if (before.at(-1)?.state === 'up') return null;
  const lastUp = before.findLastIndex(({ state }) => state === 'up');
  return before[lastUp + 1]?.since ?? null;
}

/** True when the tunnel was up on one and the same link all the time. */
export function wasUpThroughout(history: History, fromMs: number, toMs: number): boolean {
  const said = saidBetween(history, fromMs, toMs);
  const [first] = said;
  if (first === undefined || first.atMs > fromMs) return false;
  return said.every(({ state, since }) => state === 'up' && since === first.since);
}

/** A link was cut at a moment, which is known here at another. */
export interface Cut {
  readonly cutMs: number;
  readonly knownMs: number;
}

/** Null, or what was wrong: a link was cut at a moment, and the status must have stopped calling it up soon after. */
export function lieAboutCut(history: History, { cutMs, knownMs }: Cut): string | null {
  if (saidAt(history, cutMs)?.state !== 'up') return null;
  if (!wasUpThroughout(history, cutMs, knownMs + statusBoundMs)) return null;
  return `still up ${knownMs - cutMs + statusBoundMs} ms after its link was cut`;
}

/** Null, or what was wrong: a connection was served, so the tunnel must have been called up at some moment of it, or soon after: by `toldMs`. */
export function lieAboutService(history: History, fromMs: number, toldMs: number): string | null {
  const said = saidBetween(history, fromMs, toldMs);
  if (said.some(({ state }) => state === 'up') || wasUpUntold(said)) return null;
  return `never up (${said.map(({ state }) => state).join(', ')}) while a connection was served`;
}

/**
 * True when the status was up between two samples that are not. `status --watch` joins changes within 50 ms, and tells none to a
 * reader who is behind, so that a short life of a link may go untold. Its trace is `since`: connecting and retrying share
 * theirs, and only what lies between two troubles, in a run in which nobody takes a tunnel down, begins another.
 */
function wasUpUntold(said: readonly Sample[]): boolean {
  const isTrouble = ({ state }: Sample): boolean => state === 'connecting' || state === 'retrying';
  return said.some((sample, index) => {
    const before = said[index - 1];
    if (before === undefined || before.since === sample.since) return false;
    return isTrouble(before) && isTrouble(sample);
  });
}

/** Tells of each status of one tunnel whether it has not been lost since it was up. */
export function moveWatch(): (status: Pick<TunnelStatus, 'state' | 'error' | 'reconnects'>) => boolean {
  let upWith: number | null = null;
  return ({ state, error, reconnects }) => {
    const goesOn = upWith === reconnects && (state === 'up' || (state === 'connecting' && error === null));
    if (state === 'up') upWith = reconnects;
    else if (!goesOn) upWith = null;
    return goesOn;
  };
}

/** Up, or on the way to it without having been lost. */
export function servesAt(history: History, atMs: number): boolean {
  const said = saidAt(history, atMs);
  return said?.state === 'up' || said?.moved === true;
}

/**
 * What ran over a session that was replaced is reset when that is lost, with the tunnel up all the time: told as `lastError` about
 * then, and never of a connection that began when the session was silent already.
 */
export function isToldLoss(
  losses: readonly Loss[],
  {
    startedMs,
    lostMs,
    toldMs,
  }: { readonly startedMs: number; readonly lostMs: number; readonly toldMs: number },
): boolean {
  return losses.some(
    ({ atMs }) => startedMs <= atMs - silentMs && atMs >= lostMs - toldLateMs && atMs <= toldMs,
  );
}

/** Milliseconds after a moment until the tunnel came up for the last time before another one; 0 when it was up all along. */
export function recoveryMs(history: History, fromMs: number, untilMs: number): number {
  const said = saidBetween(history, fromMs, untilMs);
  const back = said.findLast((sample, index) => {
    const before = said[index - 1];
    if (sample.state !== 'up' || sample.moved === true) return false;
    return before !== undefined && before.since !== sample.since;
  });
  return back === undefined ? 0 : back.atMs - fromMs;
}
