// Waiting commands: up, restart and wait. They stay until each tunnel is decided; leaving early changes nothing.
import type { Call } from '../control/connection.ts';
import type { UpProgress, UpResult } from '../control/protocol.ts';
import { reportError, TunnelError, type ErrorReport } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { StatusDocument } from '../model/status.ts';
import type { Engine, Hearer, Person, Waiting } from '../supervisor/engine.ts';
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
  /** What a tunnel gets whose time ran out: its last error (`up`), or NOT_UP (`wait`). */
  readonly waiting: Waiting;
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
  } else if (terms.waiting === 'up') cancels.push(parts.engine.hear(names, hearerAt(call)));
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
  let error = await parts.engine.settled(name, patience.signal, terms.waiting);
  if (error !== null && patience.ranOut && terms.waiting === 'wait') error = notUp(name, error, terms);
  const report = error === null ? null : reportError(error);
  const tunnel = parts.document([name]).tunnels[0];
  if (tunnel !== undefined) call.progress({ kind: 'settled', tunnel, error: report });
  return report === null ? null : { tunnel: name, error: report };
}

function notUp(name: string, last: TunnelError, terms: WaitingTerms): TunnelError {
  return new TunnelError(
    'NOT_UP',
    `not up after ${Math.round(terms.timeoutMs / 100) / 10}s: ${last.message}`,
    {
      hint: last.hint ?? { command: 'why', on: { tunnel: name } },
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
