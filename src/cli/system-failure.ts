// What the system refused on one of our files: told as an error of the machine, not as a bug of ours. Pure.
import { dirname } from 'node:path';
import { TunnelError } from '../errors.ts';
import { shellWord } from '../model/shell-word.ts';

/** errno(3). ENOENT is left out: a file that must be there and is not is a bug. */
const words: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EIO: 'the disk answers with an error',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  ELOOP: 'its links go in a circle',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open on this machine',
  ENAMETOOLONG: 'a name in it is too long',
};

/** DAEMON_DOWN, as for a state folder that is refused; what it is not about comes back as it is. */
export function systemFailure(thrown: unknown, command: string): unknown {
  if (!(thrown instanceof Error) || thrown instanceof TunnelError) return thrown;
  const { code = '', path } = thrown as NodeJS.ErrnoException;
  const why = words[code];
  if (why === undefined || path === undefined) return thrown;
  return new TunnelError('DAEMON_DOWN', `${command} failed, on ${path}: ${why}`, {
    hint: `ls -ld ${shellWord(dirname(path))} ${shellWord(path)}`,
    cause: thrown,
  });
}
