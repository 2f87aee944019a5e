// Repeats in the log: a line that comes again is counted, and told now and then, "(24 more times since 20:00)".
import type { Cancel, Clock } from '../model/clock.ts';
import type { EngineLog } from '../supervisor/engine.ts';

/** How long a line is only counted after it was written, the first time, the second, and from then on. */
const quietMs = [60_000, 600_000, 3_600_000] as const;
/** Lines that are remembered at once; the oldest is told of and forgotten for a new one. */
const mostLines = 1000;

/** States follow one another, and each is news. */
const neverRepeats = ['tunnel.state'];

type Line = Parameters<EngineLog>;

interface Said {
  readonly line: Line;
  sinceMs: number;
  more: number;
  round: number;
  cancel: Cancel;
}

/** A log in which repeats are counted. Lines of the debug level are all written. */
export class CountedLog {
  readonly #write: EngineLog;
  readonly #clock: Clock;
  readonly #said = new Map<string, Said>();

  constructor(write: EngineLog, clock: Clock) {
    this.#write = write;
    this.#clock = clock;
  }

  readonly write: EngineLog = (...line) => {
    const key = keyOf(line);
    const known = key === null ? undefined : this.#said.get(key);
    if (known !== undefined) return void (known.more += 1);
    if (line[0] !== 'debug' && line[3] !== undefined) this.#tellBefore(line[3]);
    this.#write(...line);
    if (key === null) return;
    const [oldest] = this.#said;
    if (this.#said.size >= mostLines && oldest !== undefined) this.#forget(...oldest);
    const one: Said = { line, sinceMs: this.#clock.now(), more: 0, round: 0, cancel: () => undefined };
    this.#said.set(key, one);
    this.#countQuietly(key, one);
  };

  /** Tells of all that was counted: the end. */
  flush(): void {
    for (const [key, one] of this.#said) this.#forget(key, one);
  }

  #tell({ line: [level, event, message, facts], more, sinceMs }: Said): void {
    if (more === 0) return;
    const times = more === 1 ? 'once more' : `${more} more times`;
    this.#write(level, event, `${message} (${times} since ${hourOf(sinceMs)})`, { ...facts, repeats: more });
  }

  /** Tells the counts of a tunnel or link before a new line about it. */
  #tellBefore({ tunnel, link }: NonNullable<Line[3]>): void {
    for (const one of this.#said.values()) {
      const about = one.line[3];
      if (about?.tunnel !== tunnel || about?.link !== link) continue;
      this.#tell(one);
      one.more = 0;
      one.sinceMs = this.#clock.now();
    }
  }

  #countQuietly(key: string, one: Said): void {
    const ms = quietMs[Math.min(one.round, quietMs.length - 1)] ?? 0;
    one.cancel = this.#clock.schedule(ms, () => {
      if (one.more === 0) return void this.#said.delete(key);
      this.#tell(one);
      Object.assign(one, { sinceMs: this.#clock.now(), more: 0, round: one.round + 1 });
      this.#countQuietly(key, one);
    });
  }

  #forget(key: string, one: Said): void {
    this.#said.delete(key);
    one.cancel();
    this.#tell(one);
  }
}

/** Equal keys are repeats: durations differ each time, and are no news. Null: never a repeat. */
function keyOf([level, event, message, facts]: Line): string | null {
  if (level === 'debug' || neverRepeats.includes(event)) return null;
  const words = message.replace(/\b\d+(\.\d+)? ?(ms|s|m|h|d)\b/g, '#');
  return JSON.stringify([level, event, facts?.tunnel, facts?.link, words]);
}

function hourOf(ms: number): string {
  const at = new Date(ms);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}`;
}
