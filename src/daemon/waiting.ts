// Waiting commands: up, restart and wait. They stay until each tunnel is decided; leaving early changes nothing.
import { setMaxListeners } from 'node:events';
import type { Call } from '../control/connection.ts';
import type { UpProgress, UpResult } from '../control/protocol.ts';
import { reportError, TunnelError, type ErrorReport } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { StatusDocument } from '../model/status.ts';
import type { Engine, Hearer, Person, Waiting } from '../supervisor/engine.ts';

export interface WaitingParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly document: (names: readonly string[]) => StatusDocument;
  /** Tells of each answer taken, from whichever terminal. */
  readonly onAnswered: (listener: (question: string) => void) => Cancel;
}

export interface WaitingCommand {
  readonly names: readonly string[];
  readonly timeoutMs: number;
  readonly interactive: boolean;
  /** A tunnel whose time ran out gets its last error (`up`, `exec`), or NOT_UP (`wait`). */
  readonly waiting: Waiting;
  readonly start: () => void | Promise<void>;
}

/**
 * Attends the tunnels when a person is there, starts the work, and waits until each tunnel is decided.
 * Attending comes first: a dial that has a question must find somebody.
 */
export async function waitFor(
  command: WaitingCommand,
  call: Call<UpProgress>,
  parts: WaitingParts,
): Promise<UpResult> {
  const { names, timeoutMs, interactive, waiting, start } = command;
  const limit = new TimeLimit(timeoutMs, call.signal, parts.clock);
  const cancels: Cancel[] = [() => limit.end()];
  if (interactive) {
    cancels.push(parts.engine.attend(names, personAt(call, limit)));
    cancels.push(parts.onAnswered((question) => limit.resume(question)));
  } else if (waiting !== 'wait') cancels.push(parts.engine.hear(names, hearerAt(call)));
  try {
    await start();
    const settled = names.map(async (name) => {
      const error = await settle(name, command, limit, parts.engine);
      return told(name, error, call, parts);
    });
    const failures = await Promise.all(settled);
    return {
      document: parts.document(names),
      failures: failures.filter((failure) => failure !== null),
    };
  } finally {
    for (const cancel of cancels.reverse()) cancel();
  }
}

async function settle(
  name: string,
  { waiting, timeoutMs }: WaitingCommand,
  limit: TimeLimit,
  engine: Engine,
): Promise<TunnelError | null> {
  const error = await engine.settled(name, limit.signal, waiting);
  return error !== null && limit.ranOut && waiting === 'wait' ? notUp(name, error, timeoutMs) : error;
}

function told(
  name: string,
  error: TunnelError | null,
  call: Call<UpProgress>,
  parts: WaitingParts,
): { tunnel: string; error: ErrorReport } | null {
  const report = error === null ? null : reportError(error);
  const tunnel = parts.document([name]).tunnels[0];
  if (tunnel !== undefined) call.progress({ kind: 'settled', tunnel, error: report });
  return report === null ? null : { tunnel: name, error: report };
}

function notUp(name: string, last: TunnelError, timeoutMs: number): TunnelError {
  return new TunnelError('NOT_UP', `not up after ${Math.round(timeoutMs / 100) / 10}s: ${last.message}`, {
    hint: last.hint ?? { command: 'why', on: { tunnel: name } },
    cause: last,
  });
}

function personAt(call: Call<UpProgress>, limit: TimeLimit): Person {
  return {
    question(question) {
      limit.pause(question.id);
      call.progress({ kind: 'question', question });
    },
    withdrawn(question) {
      limit.resume(question);
      call.progress({ kind: 'withdrawn', question });
    },
    ...hearerAt(call),
  };
}

/** Each thing once: several links, and one attempt after the other, may say the same. */
function hearerAt(call: Call<UpProgress>): Hearer {
  const heard = new Set<string>();
  return {
    banner(host, text) {
      const words = `${host}\n${text}`;
      if (heard.has(words)) return;
      heard.add(words);
      call.progress({ kind: 'banner', host, text });
    },
    notice(text) {
      if (heard.has(text)) return;
      heard.add(text);
      call.progress({ kind: 'notice', text });
    },
  };
}

/** The time that a command waits at most. It stands still while a person is at a question. */
export class TimeLimit {
  readonly #clock: Clock;
  readonly #outer: AbortSignal;
  readonly #controller = new AbortController();
  readonly #leave = (): void => this.#controller.abort();
  /** Questions that are open. */
  readonly #open = new Set<string>();
  #leftMs: number;
  #sinceMs = 0;
  #cancel: Cancel | null = null;
  #ranOut = false;

  constructor(limitMs: number, outer: AbortSignal, clock: Clock) {
    this.#clock = clock;
    this.#outer = outer;
    this.#leftMs = limitMs;
    setMaxListeners(0, this.#controller.signal); // each tunnel of the command listens
    if (outer.aborted) this.#leave();
    else outer.addEventListener('abort', this.#leave, { once: true });
    this.#run();
  }

  /** Ends when the time has run out or the outer signal ends. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** True when it was the time that ended the signal. */
  get ranOut(): boolean {
    return this.#ranOut;
  }

  /** A question is open: the time stands until each is closed. */
  pause(question: string): void {
    this.#open.add(question);
    this.#stop();
  }

  resume(question: string): void {
    if (this.#open.delete(question) && this.#open.size === 0 && !this.signal.aborted) this.#run();
  }

  /** Frees the timer. Idempotent. */
  end(): void {
    this.#stop();
    this.#outer.removeEventListener('abort', this.#leave);
  }

  #run(): void {
    this.#sinceMs = this.#clock.monotonic();
    this.#cancel = this.#clock.schedule(Math.max(0, this.#leftMs), () => {
      this.#ranOut = true;
      this.#controller.abort();
    });
  }

  #stop(): void {
    if (this.#cancel === null) return;
    this.#cancel();
    this.#cancel = null;
    this.#leftMs -= this.#clock.monotonic() - this.#sinceMs;
  }
}
