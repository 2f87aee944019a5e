// Writes the history: a line for each change of state, appended. A supervisor that dies leaves at most a torn last line.
import { appendFile, readFile, stat, utimes } from 'node:fs/promises';
import { replaceFile } from '../files/atomic.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import {
  formatHistoryLine,
  keptHistoryLines,
  keptOf,
  parseHistory,
  type HistoryLine,
  type StateChange,
} from '../model/history.ts';
import { sameStretch } from '../supervisor/status.ts';

export interface HistoryFile {
  changed(change: StateChange): void;
  slept(fromMs: number): void;
  /** Writes the supervisor's end. */
  close(): Promise<void>;
}

/** The file's time is the supervisor's last sign of life: it is set this often, and nothing is written. */
const signMs = 60_000;
/** Lines over the limit before the file is written anew. */
const slack = 1000;

export function openHistory(path: string, clock: Clock, complain: (failure: unknown) => void): HistoryFile {
  const startedMs = clock.now();
  let recent: HistoryLine[] = [];
  let pending: HistoryLine[] = [];
  let failed = false;
  let isWhole = false;
  const write = async (): Promise<void> => {
    const text = pending.splice(0).map(formatHistoryLine).join('');
    if (isWhole && text === '') return;
    if (isWhole && recent.length <= keptHistoryLines + slack) return appendFile(path, text, { mode: 0o600 });
    recent = [...keptOf(recent, clock.now())];
    await replaceFile(path, recent.map(formatHistoryLine).join(''));
    isWhole = true;
  };
  /** Beside the start of the tunnels, which waits for no history; what changes meanwhile stands behind the start. */
  const begin = async (): Promise<void> => {
    const old = await readOld(path);
    const started: HistoryLine = { kind: 'start', atMs: startedMs, seenMs: old.seenMs };
    recent = [...keptOf([...old.lines, started], startedMs), ...recent];
    await write();
  };
  // After a failure the file is written anew: a line may have been cut.
  const told = (thrown: unknown): void => {
    isWhole = false;
    if (!failed) complain(thrown);
    failed = true;
  };
  let writing = begin().catch(told);
  const add = (line: HistoryLine): void => {
    recent.push(line);
    pending.push(line);
    if (pending.length === 1) writing = writing.then(write).catch(told);
  };
  const signs = giveSigns(path, clock);
  const isNews = createNews();
  return {
    changed(change) {
      if (isNews(change)) add({ kind: 'change', ...change });
    },
    slept: (fromMs) => add({ kind: 'sleep', atMs: clock.now(), fromMs }),
    close() {
      signs();
      add({ kind: 'end', atMs: clock.now() });
      return writing;
    },
  };
}

interface Old {
  readonly lines: readonly HistoryLine[];
  readonly seenMs: number | null;
}

async function readOld(path: string): Promise<Old> {
  try {
    return { lines: parseHistory(await readFile(path, 'utf8')), seenMs: (await stat(path)).mtimeMs };
  } catch {
    return { lines: [], seenMs: null }; // the first one, or not to be read: then writing tells why
  }
}

function giveSigns(path: string, clock: Clock): Cancel {
  let cancel: Cancel = () => undefined;
  const sign = (): void => {
    const now = clock.now() / 1000;
    utimes(path, now, now).catch(() => undefined); // the next line tells what is wrong
    cancel = clock.schedule(signMs, sign);
  };
  cancel = clock.schedule(signMs, sign);
  return () => cancel();
}

/** `connecting` and `retrying` take turns for as long as an outage lasts: of one trouble each reason is told once. */
function createNews(): (change: StateChange) => boolean {
  const told = new Map<string, Set<string | null>>();
  return ({ tunnel, from, to, code }) => {
    const reasons = told.get(tunnel);
    if (reasons === undefined || !sameStretch(from, to)) {
      told.set(tunnel, new Set([code]));
      return true;
    }
    if (code === null || reasons.has(code)) return false;
    reasons.add(code);
    return true;
  };
}
