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
  /** What is kept, oldest first. */
  readonly lines: readonly HistoryLine[];
  /** Writes the supervisor's end. */
  close(): Promise<void>;
}

/** The file's time is the supervisor's last sign of life: it is set this often, and nothing is written. */
const signMs = 60_000;
/** Lines over the limit before the file is written anew. */
const slack = 1000;

export function openHistory(path: string, clock: Clock, complain: (failure: unknown) => void): HistoryFile {
  const writer = new Writer(path, clock, complain);
  const signs = giveSigns(path, clock);
  const isNews = createNews();
  return {
    changed(change) {
      if (isNews(change)) writer.add({ kind: 'change', ...change });
    },
    get lines() {
      return writer.lines;
    },
    slept: (fromMs) => writer.add({ kind: 'sleep', atMs: clock.now(), fromMs }),
    close() {
      signs();
      writer.add({ kind: 'end', atMs: clock.now() });
      return writer.written;
    },
  };
}

class Writer {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #complain: (failure: unknown) => void;
  #recent: HistoryLine[] = [];
  #pending: HistoryLine[] = [];
  #failed = false;
  /** The file ends with a whole line. */
  #isWhole = false;
  #written: Promise<void>;

  constructor(path: string, clock: Clock, complain: (failure: unknown) => void) {
    this.#path = path;
    this.#clock = clock;
    this.#complain = complain;
    this.#written = this.#begin(clock.now()).catch((thrown: unknown) => this.#told(thrown));
  }

  get lines(): readonly HistoryLine[] {
    return this.#recent;
  }

  /** Resolves when all that was added is on disk, or could not be written. */
  get written(): Promise<void> {
    return this.#written;
  }

  add(line: HistoryLine): void {
    this.#recent.push(line);
    this.#pending.push(line);
    if (this.#pending.length > 1) return;
    this.#written = this.#written.then(() => this.#write()).catch((thrown: unknown) => this.#told(thrown));
  }

  /** Beside the start of the tunnels, which waits for no history; what changes meanwhile stands behind the start. */
  async #begin(atMs: number): Promise<void> {
    const old = await readOld(this.#path);
    const started: HistoryLine = { kind: 'start', atMs, seenMs: old.seenMs };
    this.#recent = [...keptOf([...old.lines, started], atMs), ...this.#recent];
    await this.#write();
  }

  async #write(): Promise<void> {
    const text = this.#pending.splice(0).map(formatHistoryLine).join('');
    if (this.#isWhole && text === '') return;
    if (this.#isWhole && this.#recent.length <= keptHistoryLines + slack)
      return appendFile(this.#path, text, { mode: 0o600 });
    this.#recent = [...keptOf(this.#recent, this.#clock.now())];
    await replaceFile(this.#path, this.#recent.map(formatHistoryLine).join(''));
    this.#isWhole = true;
  }

  /** The file is written anew next time: a line may have been cut. */
  #told(thrown: unknown): void {
    this.#isWhole = false;
    if (!this.#failed) this.#complain(thrown);
    this.#failed = true;
  }
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
