// Waiting commands: up, restart and wait. They watch the engine until each tunnel is decided; leaving early changes nothing.
import type { Call } from '../control/connection.ts';
import type { UpProgress, UpResult } from '../control/protocol.ts';
import { reportError, retryHelps, TunnelError, type ErrorReport } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { StatusDocument } from '../model/status.ts';
import type { Engine, Person } from '../supervisor/engine.ts';
import { createPatience, type Patience } from './patience.ts';

export interface WaitingParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly document: (names: readonly string[]) => StatusDocument;
  /** Tells of each answer taken, from whichever terminal. */
  readonly onAnswered: (listener: (question: string) => void) => Cancel;
}

export interface WaitingTerms {
  readonly timeoutMs: number;
  readonly interactive: boolean;
  /** What a tunnel gets whose time ran out: its last error (`up`), or NOT_UP (`wait`, which is for the probes too). */
  readonly onTimeout: 'last-error' | 'not-up';
}

/**
 * Attends the tunnels when a person is there, starts the work, and waits until each tunnel is decided.
 * Attending comes first: a dial that has a question must find somebody.
 */
export async function waitFor(
  names: readonly string[],
  terms: WaitingTerms,
  start: () => void | Promise<void>,
  call: Call<UpProgress>,
  parts: WaitingParts,
): Promise<UpResult> {
  const patience = createPatience(terms.timeoutMs, call.signal, parts.clock);
  const cancels: Cancel[] = [() => patience.end()];
  if (terms.interactive) {
    cancels.push(parts.engine.attend(names, personAt(call, patience)));
    cancels.push(parts.onAnswered((question) => patience.resume(question)));
  }
  try {
    await start();
    const failures = await Promise.all(names.map((name) => settle(name, terms, patience, call, parts)));
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
  terms: WaitingTerms,
  patience: Patience,
  call: Call<UpProgress>,
  parts: WaitingParts,
): Promise<{ tunnel: string; error: ErrorReport } | null> {
  const dropped = watchDropped(name, terms, parts.engine);
  const signal = AbortSignal.any([patience.signal, dropped.signal]);
  let error = await served(name, terms, signal, parts.engine);
  dropped.end();
  if (error !== null && dropped.signal.aborted) error = takenDown(name);
  if (error !== null && patience.ranOut && terms.onTimeout === 'not-up') error = notUp(name, error, terms);
  const report = error === null ? null : reportError(error);
  const tunnel = parts.document([name]).tunnels[0];
  if (tunnel !== undefined) call.progress({ kind: 'settled', tunnel, error: report });
  return report === null ? null : { tunnel: name, error: report };
}

/**
 * `wait` is also for what stands behind the tunnel, as far as a probe can tell; and what is tried again by itself, a port
 * in use, is waited for until the time runs out.
 */
async function served(
  name: string,
  terms: WaitingTerms,
  signal: AbortSignal,
  engine: Engine,
): Promise<TunnelError | null> {
  for (;;) {
    const error = await engine.settled(name, signal);
    if (terms.onTimeout !== 'not-up') return error;
    if (error !== null && !retryHelps(error.code)) return error;
    const missing = error ?? missingTarget(name, engine);
    if (missing === null || signal.aborted) return missing;
    await nextChange(name, engine, signal);
  }
}

/** Why a target is not there as its probe sees it; null when all are, or none is probed. */
function missingTarget(name: string, engine: Engine): TunnelError | null {
  const status = engine.status([name])[0];
  const forwards = engine.examine(name)?.tunnel.forwards ?? [];
  if (status?.state !== 'up') return null; // asleep: nobody has woken the link that a probe would need
  const at = status.forwards.findIndex(({ probe }, index) => forwards[index]?.probe && probe?.ok !== true);
  const forward = status.forwards[at];
  if (forward === undefined) return null;
  return new TunnelError(
    'NOT_UP',
    `probe failed, on ${forward.target}: ${forward.probe?.text ?? 'no answer yet'}`,
    {
      hint: `tunnel why ${name}`,
    },
  );
}

/** Of this tunnel: two that are waited for, and look at every change, would keep each other awake. */
function nextChange(name: string, engine: Engine, signal: AbortSignal): Promise<void> {
  const look = (): string => {
    const [status] = engine.status([name]);
    return JSON.stringify([status?.state, status?.error, status?.forwards.map(({ probe }) => probe)]);
  };
  const before = look();
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = engine.onChange(() => {
      if (look() !== before) done();
    });
    signal.addEventListener('abort', done, { once: true });
  });
}

/** Somebody else's `down` is an answer to our `up`: there is nothing to wait for any more. */
function watchDropped(
  name: string,
  terms: WaitingTerms,
  engine: Engine,
): { readonly signal: AbortSignal; readonly end: Cancel } {
  const controller = new AbortController();
  if (terms.onTimeout === 'not-up') return { signal: controller.signal, end: () => undefined };
  const look = (): void => {
    const tunnel = engine.known().find((known) => known.name === name);
    if (tunnel?.wanted !== true) controller.abort();
  };
  const end = engine.onChange(look);
  return { signal: controller.signal, end };
}

function takenDown(name: string): TunnelError {
  return new TunnelError('NOT_UP', `up failed, on ${name}: it was taken down meanwhile`, {
    hint: `tunnel up ${name}`,
  });
}

function notUp(name: string, last: TunnelError, terms: WaitingTerms): TunnelError {
  return new TunnelError(
    'NOT_UP',
    `wait failed, on ${name}: not up after ${Math.round(terms.timeoutMs / 100) / 10}s (${last.message})`,
    {
      hint: last.hint ?? `tunnel why ${name}`,
      cause: last,
    },
  );
}

function personAt(call: Call<UpProgress>, patience: Patience): Person {
  return {
    question(question) {
      patience.pause(question.id);
      call.progress({ kind: 'question', question });
    },
    withdrawn(question) {
      patience.resume(question);
      call.progress({ kind: 'withdrawn', question });
    },
    banner: (host, text) => call.progress({ kind: 'banner', host, text }),
    notice: (text) => call.progress({ kind: 'notice', text }),
  };
}
