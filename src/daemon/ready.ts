// What passes between a supervisor and the command that launches it: the command's environment, and one line when it is ready.
import { closeSync, readFileSync, writeSync } from 'node:fs';
import type { CallerEnvironment } from '../model/session.ts';
import type { ReadyMessage } from './launch.ts';

/** The last argument of a supervisor that has the pipe, as descriptor 3. Without it 3 is something of Node's own. */
const readyArgument = '--ready-on-3';
const descriptor = 3;

const environmentArgument = '--environment-on-0';

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
      writeSync(descriptor, JSON.stringify(message));
      closeSync(descriptor);
    } catch {
      // EPIPE: the command that launched us was interrupted, and we go on
    }
  };
}
