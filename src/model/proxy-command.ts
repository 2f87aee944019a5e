// Proxy commands: from the line in the config to the program and its arguments, its tokens filled in (ssh_config(5), TOKENS). Pure.
import { cleanText } from './clean.ts';
import type { Host } from './host.ts';

/** This side, as the tokens of ssh_config(5) tell of it. */
export interface LocalUser {
  readonly user: string;
  readonly uid: number;
  /** By the passwd entry where there is one, as for ssh. */
  readonly home: string;
  readonly hostname: string;
}

export interface CommandLine {
  readonly argv: readonly [string, ...string[]];
  /** True when the command needs a shell to mean what it says. */
  readonly shell: boolean;
}

export const tokenWords =
  '%h (host name), %p (port), %r (user), %n (name given), %u (your user), %% (a percent sign)';

/** Tokens of ProxyCommand, with those that other keys know and people use here too. */
function tokensOf(host: Host, local: LocalUser): Readonly<Record<string, string>> {
  return {
    '%': '%',
    h: host.hostname,
    k: host.hostKeyAlias ?? host.hostname,
    n: host.name,
    p: String(host.port),
    r: host.user,
    u: local.user,
    i: String(local.uid),
    d: local.home,
    l: local.hostname,
    L: local.hostname.split('.')[0] ?? '',
  };
}

/** The fault of a command, whatever host it is for; null for none. */
export function commandProblem(command: string): string | null {
  if (command.trim() === '') return 'it is empty';
  const token = [...command.matchAll(/%(.?)/gs)].find(([, letter = '']) => !/^[%hknpruidlL]$/.test(letter));
  return token === undefined ? null : `it has no token ${token[0]}`;
}

/** Characters that mean more than a letter to a shell. */
const shellWords = /[|&;<>()$`\\"'*?[\]#~{}!\n]|(?:^|\s)[A-Za-z_]\w*=/;

/**
 * The command with its tokens filled in: as an argument vector where no shell is needed, else for `sh -c`, with `exec`
 * as OpenSSH does, so that what we kill is the command.
 */
export function readCommandLine(
  host: Host,
  command: string,
  local: LocalUser,
): CommandLine | { readonly problem: string } {
  const tokens = tokensOf(host, local);
  const shell = shellWords.test(command);
  let problem = commandProblem(command);
  const fill = (text: string): string =>
    text.replace(/%(.)/gs, (_, letter: string) => {
      const value = tokens[letter] ?? '';
      // a name is a name here, never an option, and never something a shell acts on
      if (value.startsWith('-') || (shell && letter !== '%' && !/^[\w.:@+/,-]*$/.test(value)))
        problem ??= `%${letter} would become ${JSON.stringify(cleanText(value))}`;
      return value;
    });
  const assigns = /^\s*[A-Za-z_]\w*=/.test(command); // exec would take that for a program
  const [program = '', ...rest] = shell
    ? ['/bin/sh', '-c', `${assigns ? '' : 'exec '}${fill(command)}`]
    : command.trim().split(/\s+/).map(fill);
  if (problem !== null) return { problem };
  return { argv: [program, ...rest], shell };
}
