// What the system refused on one of our files: told as an error of the machine, not as a bug of ours. Pure.
import { dirname } from 'node:path';
import { TunnelError } from '../errors.ts';
import { errnoWords } from '../files/errno.ts';
import { shellWord } from '../model/shell-word.ts';

/** DAEMON_DOWN, as for a state folder that is refused; what it is not about comes back as it is. */
export function systemFailure(thrown: unknown, command: string): unknown {
  if (!(thrown instanceof Error) || thrown instanceof TunnelError) return thrown;
  const { code, path } = thrown as NodeJS.ErrnoException;
  const why = errnoWords(code);
  if (why === null || path === undefined) return thrown;
  return new TunnelError('DAEMON_DOWN', `${command} failed, on ${path}: ${why}`, {
    hint: `ls -ld ${shellWord(dirname(path))} ${shellWord(path)}`,
    cause: thrown,
  });
}
