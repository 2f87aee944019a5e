// The ready pipe, from the supervisor's side: one line to whoever launched it, then closed.
import { closeSync, writeSync } from 'node:fs';
import type { ReadyMessage } from './launch.ts';

/** The last argument of a supervisor that has the pipe, as descriptor 3. Without it 3 is something of Node's own. */
const readyArgument = '--ready-on-3';
const descriptor = 3;

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
