// The history of tunnels: its lines in the file, and what they come to: each change with how long it lasted, up-time, outages. Pure.
import { jsonText } from './clean.ts';
import type { TunnelState } from './status.ts';

export const keptHistoryMs = 90 * 86_400_000;
export const keptHistoryLines = 10_000;
const longestMessage = 500;

export interface StateChange {
  /** Wall clock, milliseconds. */
  readonly atMs: number;
  readonly tunnel: string;
  readonly from: TunnelState;
  readonly to: TunnelState;
  /** Why; null where there is nothing to say. */
  readonly code: string | null;
  readonly message: string | null;
}

/** A line of the file. Besides the changes: a supervisor's begin (and when the one before was last seen), its end, a sleep. */
export type HistoryLine =
  | ({ readonly kind: 'change' } & StateChange)
  | { readonly kind: 'start'; readonly atMs: number; readonly seenMs: number | null }
  | { readonly kind: 'end'; readonly atMs: number }
  | { readonly kind: 'sleep'; readonly atMs: number; readonly fromMs: number };

export function formatHistoryLine(line: HistoryLine): string {
  if (line.kind !== 'change') return `${JSON.stringify(line)}\n`;
  return `${jsonText({ ...line, message: line.message?.slice(0, longestMessage) ?? null })}\n`;
}

/** What cannot be read, a line cut by a crash, is left out. */
export function parseHistory(text: string): HistoryLine[] {
  return text.split('\n').flatMap((line) => {
    const parsed = parseLine(line);
    return parsed === null ? [] : [parsed];
  });
}

function parseLine(text: string): HistoryLine | null {
  try {
    const line = JSON.parse(text) as HistoryLine;
    if (!Number.isFinite(line.atMs)) return null;
    if (line.kind === 'end' || line.kind === 'start') return line;
    if (line.kind === 'sleep') return Number.isFinite(line.fromMs) ? line : null;
    const words = [line.tunnel, line.from, line.to];
    return line.kind === 'change' && words.every((word) => typeof word === 'string') ? line : null;
  } catch {
    return null; // blank, torn, or not ours
  }
}

/**
 * What a file keeps: the newest lines that are young enough, and before them how each tunnel came into the state that it is in
 * when they begin.
 */
export function keptOf(lines: readonly HistoryLine[], nowMs: number): readonly HistoryLine[] {
  const newest = lines.slice(-keptHistoryLines).filter(({ atMs }) => atMs >= nowMs - keptHistoryMs);
  const kept = new Set(newest);
  const before = new Map<string, HistoryLine>();
  for (const line of lines) {
    if (kept.has(line)) continue;
    if (line.kind === 'change') before.set(line.tunnel, line);
    else if (line.kind !== 'sleep') before.clear(); // a supervisor's begin or end: all are down
  }
  const states = [...before.values()];
  return [...states, ...newest.slice(Math.max(0, newest.length + states.length - keptHistoryLines))];
}

export interface HistoryChange {
  readonly at: string;
  readonly tunnel: string;
  readonly from: TunnelState;
  readonly to: TunnelState;
  readonly code: string | null;
  readonly message: string | null;
  /** How long the state it came to lasted, without sleep; null while it lasts. */
  readonly lastedMs: number | null;
}

export interface HistorySummary {
  readonly tunnel: string;
  /** Of the time that it was wanted and a supervisor watched; null where there was none. */
  readonly upPercent: number | null;
  readonly outages: number;
  readonly longestMs: number;
}

export interface HistoryDocument {
  readonly changes: readonly HistoryChange[];
  readonly summary: readonly HistorySummary[];
}

export interface HistoryTerms {
  readonly sinceMs: number;
  readonly nowMs: number;
  /** The supervisor runs; else when it was last seen. */
  readonly alive: true | { readonly seenMs: number };
  readonly takes: (tunnel: string) => boolean;
}

interface Span extends StateChange {
  /** Null: it still lasts. */
  untilMs: number | null;
}

export function historyOf(lines: readonly HistoryLine[], terms: HistoryTerms): HistoryDocument {
  const spans = spansOf(lines, terms).filter(({ tunnel }) => terms.takes(tunnel));
  const sleeps = lines.filter((line) => line.kind === 'sleep');
  const lastedMs = (fromMs: number, toMs: number): number => {
    const slept = sleeps.map((each) => Math.min(toMs, each.atMs) - Math.max(fromMs, each.fromMs));
    return Math.max(0, toMs - fromMs - slept.reduce((sum, ms) => sum + Math.max(0, ms), 0));
  };
  const isSeen = ({ untilMs }: Span): boolean => (untilMs ?? terms.nowMs) >= terms.sinceMs;
  const names = new Set(spans.filter(isSeen).map(({ tunnel }) => tunnel));
  return {
    changes: spans
      .filter(({ atMs }) => atMs >= terms.sinceMs)
      .map(({ atMs, tunnel, from, to, code, message, untilMs }) => {
        const ms = untilMs === null ? null : lastedMs(atMs, untilMs);
        return { at: new Date(atMs).toISOString(), tunnel, from, to, code, message, lastedMs: ms };
      }),
    summary: [...names].toSorted().map((name) => {
      const own = spans.filter(({ tunnel }) => tunnel === name);
      return summaryOf(name, own, (span) =>
        lastedMs(Math.max(span.atMs, terms.sinceMs), span.untilMs ?? terms.nowMs),
      );
    }),
  };
}

/** In order of time. A supervisor's end ends what was not down. */
function spansOf(lines: readonly HistoryLine[], { alive }: HistoryTerms): Span[] {
  const spans: Span[] = [];
  const open = new Map<string, Span>();
  const begin = (change: StateChange): void => {
    const before = open.get(change.tunnel);
    if (before !== undefined) before.untilMs = change.atMs;
    const span = { ...change, untilMs: null };
    open.set(change.tunnel, span);
    spans.push(span);
  };
  const endAll = (atMs: number, code: string | null, message: string): void => {
    for (const { tunnel, to } of open.values())
      if (to !== 'down') begin({ atMs, tunnel, from: to, to: 'down', code, message });
  };
  const crash = (seenMs: number): void => endAll(seenMs, 'DAEMON_DOWN', 'the supervisor ended unexpectedly');
  for (const line of lines) {
    if (line.kind === 'change') begin(line);
    else if (line.kind === 'end') endAll(line.atMs, null, 'the supervisor ended');
    else if (line.kind === 'start') crash(line.seenMs ?? line.atMs);
  }
  if (alive !== true) crash(alive.seenMs);
  return spans;
}

/** An outage is a time in which a tunnel was wanted and did not serve, for a reason: a first login that succeeds is none. */
function summaryOf(tunnel: string, spans: readonly Span[], lasted: (span: Span) => number): HistorySummary {
  let upMs = 0;
  let stretch: { ms: number; failed: boolean } | null = null;
  const outages: number[] = [];
  const close = (): void => {
    if (stretch?.failed === true && stretch.ms > 0) outages.push(stretch.ms);
    stretch = null;
  };
  for (const span of spans) {
    const ms = lasted(span);
    if (span.to === 'connecting' || span.to === 'retrying' || span.to === 'needs-you') {
      const before: { ms: number; failed: boolean } = stretch ?? { ms: 0, failed: false };
      stretch = { ms: before.ms + ms, failed: before.failed || span.code !== null };
      continue;
    }
    close();
    if (span.to === 'up' || span.to === 'asleep') upMs += ms;
  }
  close();
  const outMs = outages.reduce((sum, ms) => sum + ms, 0);
  // Rounded down: 100 means that there was no outage at all.
  const upPercent = upMs + outMs === 0 ? null : Math.floor((upMs / (upMs + outMs)) * 10_000) / 100;
  return { tunnel, upPercent, outages: outages.length, longestMs: Math.max(0, ...outages) };
}
