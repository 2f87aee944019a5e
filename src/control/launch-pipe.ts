// The pipes between a supervisor and the command that launches it: the command's environment, and one line when the supervisor is ready.
import { closeSync, readFileSync, writeSync } from 'node:fs';
import type { CallerEnvironment } from '../model/session.ts';
import { errorTable, type ErrorReport } from '../errors.ts';

/** The message of a supervisor in the background through its ready pipe, once, as one line of JSON. */
export type ReadyMessage =
  | { readonly kind: 'ready' }
  /** Another one has the lock. */
  | { readonly kind: 'held'; readonly pid: number }
  | { readonly kind: 'failed'; readonly error: ErrorReport };

/**
 * What Node is told for a supervisor. A bound for V8's young generation, in MiB of each of its halves: it grows to three times 16 MiB under
 * load, and is given back by nothing but a full collection. Reads make no garbage (forward/reads, ssh/channels/buffers), so a small one
 * costs no throughput. And by how much the old generation may grow until the next full collection, in percent: with V8's own rule a quiet
 * supervisor collected 36 MiB of what 20,000 connections had left; now it is 8, for 17 ms of work in 5,000 connections.
 */
export const supervisorFlags: readonly string[] = ['--max-semi-space-size=2', '--heap-growing-percent=60'];

/** Tells a supervisor that it has the pipe, as this descriptor. Without it 3 is something of Node's own. */
export const readyArgument = '--ready-on-3';
export const readyDescriptor = 3;
/** Tells a supervisor that the environment of the command comes on its standard input. */
export const environmentArgument = '--environment-on-0';
/** Tells a supervisor that the one that runs has started it, to be replaced by it (daemon/handover). */
export const handedOverArgument = '--handed-over';
/** Tells a supervisor that its config is a project file. */
export const projectArgument = '--project';

/** The environment of the command, or null: started by hand, or the command was interrupted before it had said all. */
export function launchEnvironment(argv: readonly string[]): CallerEnvironment | null {
  if (!argv.includes(environmentArgument)) return null;
  try {
    return JSON.parse(readFileSync(0, 'utf8')) as CallerEnvironment;
  } catch {
    return null;
  }
}

export type SayReady = (message: ReadyMessage) => void;

/** Says the first message it is given; does nothing where there is no pipe (started by hand, in the foreground). */
export function openReadyPipe(argv: readonly string[]): SayReady {
  let said = !argv.includes(readyArgument);
  return (message) => {
    if (said) return;
    said = true;
    try {
      writeSync(readyDescriptor, JSON.stringify(message));
      closeSync(readyDescriptor);
    } catch {
      // EPIPE: the command that launched us was interrupted, and we go on
    }
  };
}

/** Null: it died before it had said anything. */
export function parseReady(text: string): ReadyMessage | null {
  try {
    const message = JSON.parse(text) as ReadyMessage;
    if (message.kind === 'failed' && !(message.error.code in errorTable)) return null;
    return message;
  } catch {
    return null;
  }
}
