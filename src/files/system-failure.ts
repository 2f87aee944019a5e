// What the system refused on one of our files: told as an error of the machine, not as a bug of ours. Pure.
import { dirname } from 'node:path';
import { TunnelError } from '../errors.ts';
import { shellWord } from '../model/shell-word.ts';
import { errnoWords, isFull } from './errno.ts';

/**
 * DAEMON_DOWN, as for a state folder that is refused; what it is not about comes back as it is. `on`: what it was about
 * where the system does not say: a write(2) that fails has no path any more.
 */
export function systemFailure(thrown: unknown, what: string, on: string | null = null): unknown {
  if (!(thrown instanceof Error) || thrown instanceof TunnelError) return thrown;
  const { code = '', path: said } = thrown as NodeJS.ErrnoException;
  const why = errnoWords(code);
  const path = said ?? on;
  if (why === null || (path === null && !isFull(code))) return thrown;
  return new TunnelError('DAEMON_DOWN', `${what} failed${path === null ? '' : `, on ${path}`}: ${why}`, {
    hint: hintFor(code, path),
    cause: thrown,
  });
}

function hintFor(code: string, path: string | null): string {
  if (path === null) return 'df -h';
  const folder = shellWord(dirname(path));
  return isFull(code) ? `df -h ${folder}` : `ls -ld ${folder} ${shellWord(path)}`;
}
