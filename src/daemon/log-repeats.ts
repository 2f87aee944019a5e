// Repeats in the log: what is said again is counted, and told of now and then, "(24 more times since 20:00)".
import type { Cancel, Clock } from '../model/clock.ts';
import type { EngineLog } from '../supervisor/engine.ts';

/** How long a line is only counted after it was written, the first time, the second, and from then on. */
const quietMs = [60_000, 600_000, 3_600_000] as const;
/** Lines that are remembered at once; the oldest is told of and forgotten for a new one. */
const mostLines = 1000;

/** States follow one another, and each is news. */
const neverRepeats = ['tunnel.state'];

export interface CountedLog {
  readonly write: EngineLog;
  /** Tells of all that was counted: the end. */
  flush(): void;
}

type Line = Parameters<EngineLog>;

interface Said {
  readonly line: Line;
  sinceMs: number;
  more: number;
  round: number;
  cancel: Cancel;
}

/** Lines of the debug level are all written. */
export function countRepeats(write: EngineLog, clock: Clock): CountedLog {
  const said = new Map<string, Said>();
  const tell = ({ line: [level, event, message, facts], more, sinceMs }: Said): void => {
    if (more === 0) return;
    const times = more === 1 ? 'once more' : `${more} more times`;
    write(level, event, `${message} (${times} since ${hourOf(sinceMs)})`, { ...facts, repeats: more });
  };
  /** What was counted of the same tunnel or link comes before what is new of it. */
  const tellBefore = ({ tunnel, link }: NonNullable<Line[3]>): void => {
    for (const one of said.values()) {
      const about = one.line[3];
      if (about?.tunnel !== tunnel || about?.link !== link) continue;
      tell(one);
      one.more = 0;
      one.sinceMs = clock.now();
    }
  };
  const listen = (key: string, one: Said): void => {
    const ms = quietMs[Math.min(one.round, quietMs.length - 1)] ?? 0;
    one.cancel = clock.schedule(ms, () => {
      if (one.more === 0) return void said.delete(key);
      tell(one);
      Object.assign(one, { sinceMs: clock.now(), more: 0, round: one.round + 1 });
      listen(key, one);
    });
  };
  const forget = (key: string, one: Said): void => {
    said.delete(key);
    one.cancel();
    tell(one);
  };
  return {
    write(...line) {
      const key = keyOf(line);
      const known = key === null ? undefined : said.get(key);
      if (known !== undefined) return void (known.more += 1);
      if (line[0] !== 'debug' && line[3] !== undefined) tellBefore(line[3]);
      write(...line);
      if (key === null) return;
      const [oldest] = said;
      if (said.size >= mostLines && oldest !== undefined) forget(...oldest);
      const one: Said = { line, sinceMs: clock.now(), more: 0, round: 0, cancel: () => undefined };
      said.set(key, one);
      listen(key, one);
    },
    flush() {
      for (const [key, one] of said) forget(key, one);
    },
  };
}

/** What a line says of whom: how long something took differs each time, and is no news. Null: never a repeat. */
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
