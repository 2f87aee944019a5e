// A tunnel on the command line, in ssh's own letters: what `add`, `up` and `exec` read of it.
import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { Context } from '../client/context.ts';
import { composeTunnel, nameByForward } from '../config/compose.ts';
import type { NewTunnel } from '../config/edit.ts';
import { readSshWords } from '../import/ssh-words.ts';
import { knownAlgorithms } from '../keys/algorithms.ts';
import { shellWord } from '../model/shell-word.ts';
import { namedConfig } from '../paths.ts';
import { usage, type Args } from './command.ts';

export interface SshTunnel {
  readonly tunnel: NewTunnel;
  /** After its first forward: `db-5432`. */
  readonly name: string;
}

const example = '-L 5432:db:5432 user@host';

/** `command`: as a person types it, with what stands before the letters. `more`: further keys. Throws USAGE. Notes are talk. */
export function readSshTunnel(
  context: Context,
  { sshWords }: Pick<Args, 'sshWords'>,
  command: string,
  { host, more }: { readonly host: string | undefined; readonly more: NewTunnel },
): SshTunnel {
  const [verb = ''] = command.split(' ');
  const help = { command: `${verb} --help` };
  checkCipher(context, command);
  const { forwards, settings, notes, problem } = readSshWords(sshWords, 'typed');
  if (problem !== null) throw usage(problem, help);
  if (forwards.length === 0)
    throw usage(`tunnel ${verb} needs a forward: -L, -R or -D`, `tunnel ${command} ${example}`);
  if (host === undefined)
    throw usage(`tunnel ${verb} needs a server, [user@]host[:port]`, `tunnel ${command} ${example}`);
  for (const each of notes) context.talk(each);
  const composed = composeTunnel(host, forwards, { ...settings, ...more });
  if ('problem' in composed) throw usage(composed.problem, help);
  return { tunnel: composed.value, name: nameByForward(host, forwards) };
}

/** `-c` is ssh's letter for ciphers, and ours for the config. */
function checkCipher({ options, facts }: Context, command: string): void {
  const named = namedConfig(facts, options.config);
  const [first = ''] = options.config?.split(',') ?? [];
  if (named === null || !knownAlgorithms('cipher').includes(first) || existsSync(named)) return;
  throw usage(
    `-c names a config here, and ${options.config} is a cipher`,
    `tunnel ${command} -o Ciphers=${shellWord(options.config ?? '')} ${example}`,
  );
}

const paths = ['identity', 'certificate', 'known_hosts', 'agent'];

/** Paths as the folder means them in which they were typed: the tunnel is kept elsewhere. */
export function withAbsolutePaths(tunnel: NewTunnel, cwd: string): NewTunnel {
  const absolute = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(absolute);
    if (typeof value === 'object' && value !== null && 'file' in value)
      return { ...value, file: absolute(value.file) };
    const isRelative = typeof value === 'string' && !isAbsolute(value) && !/^~|[%$]/.test(value);
    return isRelative ? join(cwd, value) : value;
  };
  const changed = Object.entries(tunnel).map(([key, value]) =>
    paths.includes(key) ? [key, absolute(value)] : [key, value],
  );
  return Object.fromEntries(changed) as NewTunnel;
}
