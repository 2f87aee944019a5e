// Hooks: the user's commands for what becomes of a tunnel. Of one tunnel they run one after the other, and at most one waits: that
// of the newest state, so that what ran last is what is true.
import { endingWords, firstLine, runProgram } from '../files/child.ts';
import { localEnds } from '../config/local-ends.ts';
import { cleanText } from '../model/clean.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { StateChange } from '../model/history.ts';
import type { HookState, Tunnel } from '../model/tunnel.ts';
import { environmentWithout } from '../secrets/read.ts';
import type { Engine, EngineLog } from '../supervisor/engine.ts';

export interface HookParts {
  readonly engine: Pick<Engine, 'examine' | 'status'>;
  readonly log: EngineLog;
  /** Variables that hold secrets: not for a hook. */
  readonly withheld: () => ReadonlySet<string>;
  /** How long one may run. */
  readonly limitMs?: number;
  /** How long they get once the supervisor ends. */
  readonly endLimitMs?: number;
}

export interface Hooks {
  changed(change: StateChange): void;
  /** Resolves when none runs any more. What is still under way after the limit is ended. */
  close(): Promise<void>;
}

const limitMs = 30_000;
const endLimitMs = 5_000;
const longestReason = 500;

/** What a tunnel is while it is not down: of one that is down, or gone from the file, nothing of it can be asked any more. */
interface Last {
  readonly hooks: Tunnel['hooks'];
  readonly variables: Readonly<Record<string, string>>;
  /** Where a program here reaches it; null where there is no such place. */
  readonly end: Endpoint | null;
  /** What it needed a person for last; null once it was up. */
  readonly needed: string | null;
}

export function createHooks(parts: HookParts): Hooks {
  const lasts = new Map<string, Last>();
  const queues = new Map<string, Queue>();
  const deadlineMs = parts.limitMs ?? limitMs;
  return {
    changed(change) {
      const { tunnel, to } = change;
      const before = lasts.get(tunnel);
      const last = to === 'down' ? before : lastOf(change, before, parts);
      if (to === 'down' || last === undefined) lasts.delete(tunnel);
      else lasts.set(tunnel, last);
      if (last === undefined || (to !== 'up' && to !== 'down' && to !== 'needs-you')) return;
      // It was looked at again, as it is from time to time, and still needs the same.
      if (to === 'needs-you' && last.needed === before?.needed) return;
      const argv = last.hooks[to];
      const queue = queues.get(tunnel);
      if (argv === undefined) return queue?.drop();
      const env = { ...environmentWithout(last.variables, parts.withheld()), ...told(change, last) };
      const used = queue ?? new Queue(deadlineMs, parts.log);
      queues.set(tunnel, used);
      used.add({ state: to, tunnel, argv, env });
    },
    async close() {
      const all = [...queues.values()];
      for (const queue of all) queue.hurry();
      const timer = setTimeout(() => all.forEach((queue) => queue.end()), parts.endLimitMs ?? endLimitMs);
      await Promise.all(all.map(({ idle }) => idle));
      clearTimeout(timer);
    },
  };
}

/** Undefined for a tunnel without hooks. */
function lastOf(
  { tunnel: name, to, message }: StateChange,
  before: Last | undefined,
  { engine }: HookParts,
): Last | undefined {
  const examined = engine.examine(name);
  if (examined === null || Object.keys(examined.tunnel.hooks).length === 0) return undefined;
  const { tunnel, environment } = examined;
  const [end = null] = localEnds(tunnel, engine.status([name])[0]) ?? [];
  const isUp = to === 'up' || to === 'asleep';
  const needed = to === 'needs-you' ? (message ?? '') : isUp ? null : (before?.needed ?? null);
  return { hooks: tunnel.hooks, variables: environment.variables, end, needed };
}

/** Empty where there is nothing to say: a script may insist that its variables are set. */
function told({ tunnel, from, to, message }: StateChange, { end }: Last): Record<string, string> {
  return {
    TUNNEL_NAME: tunnel,
    TUNNEL_STATE: to,
    TUNNEL_PREVIOUS: from,
    TUNNEL_REASON: Array.from(cleanText(message ?? ''))
      .slice(0, longestReason)
      .join(''),
    TUNNEL_ADDRESS: end === null ? '' : formatEndpoint(end),
    TUNNEL_HOST: end?.kind === 'tcp' ? end.host : '',
    TUNNEL_PORT: end?.kind === 'tcp' ? String(end.port) : '',
  };
}

interface Hook {
  readonly state: HookState;
  readonly tunnel: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The hooks of one tunnel that are under way. */
class Queue {
  readonly #deadlineMs: number;
  readonly #log: EngineLog;
  #idle: Promise<void> = Promise.resolve();
  #busy = false;
  #running: { readonly state: HookState; readonly end: AbortController } | null = null;
  #waiting: Hook | null = null;

  constructor(deadlineMs: number, log: EngineLog) {
    this.#deadlineMs = deadlineMs;
    this.#log = log;
  }

  /** Resolves when none runs and none waits. */
  get idle(): Promise<void> {
    return this.#idle;
  }

  /** It waits its turn; what waited for an older state is never run. */
  add(hook: Hook): void {
    this.#waiting = hook;
    if (!this.#busy) this.#idle = this.#runAll();
  }

  /** The newest state has no hook: then none is run. */
  drop(): void {
    this.#waiting = null;
  }

  /** The supervisor ends: what cleans up does not wait for what no longer matters. */
  hurry(): void {
    if (this.#waiting?.state === 'down' && this.#running?.state !== 'down') this.#running?.end.abort();
  }

  end(): void {
    const { tunnel, state } = this.#waiting ?? {};
    if (tunnel !== undefined)
      this.#log('warn', 'hook', `the ${state} hook of ${tunnel} was not run: the supervisor ends`, {
        tunnel,
      });
    this.#waiting = null;
    this.#running?.end.abort();
  }

  async #runAll(): Promise<void> {
    this.#busy = true;
    for (let hook = this.#waiting; hook !== null; hook = this.#waiting) {
      this.#waiting = null;
      await this.#runOne(hook);
    }
    this.#busy = false;
  }

  async #runOne({ state, tunnel, argv, env }: Hook): Promise<void> {
    const end = new AbortController();
    this.#running = { state, end };
    const { ending, said } = await runProgram(argv, {
      env,
      deadlineMs: this.#deadlineMs,
      outputLimitBytes: null,
      signal: end.signal,
    });
    this.#running = null;
    const why =
      ending.how === 'unwanted' ? 'it was ended with the supervisor' : endingWords(ending, this.#deadlineMs);
    if (why === null) return this.#log('debug', 'hook', `the ${state} hook of ${tunnel} ran`, { tunnel });
    // Only the program is named: an argument may be a secret.
    const words = [cleanText(argv[0] ?? ''), why, firstLine(said)].filter((part) => part !== '').join(': ');
    this.#log('warn', 'hook', `the ${state} hook of ${tunnel} failed, on ${words}`, { tunnel });
  }
}
