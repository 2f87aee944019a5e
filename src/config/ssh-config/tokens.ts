// Tokens of ssh_config: %h and its kin, ${NAME}, and ~ (ssh_config(5), TOKENS and ENVIRONMENT VARIABLES).
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { homeOfUser } from '../account.ts';

/** The values of the tokens. */
export interface TokenFacts {
  readonly home: string;
  /** %u, the local user; %i, the local uid. */
  readonly localUser: string;
  readonly uid: number;
  /** %l; %L is its first part. */
  readonly localHost: string;
  /** %n, as it was given. */
  readonly alias: string;
  /** %h %p %r: where it goes. */
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  /** %j: the host of ProxyJump's last hop, "" without one. */
  readonly jump: string;
  readonly hostKeyAlias: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The text with its tokens filled in, or a sentence about the one that is not known. */
export function expandTokens(
  text: string,
  facts: TokenFacts,
): { readonly text: string } | { readonly problem: string } {
  const table: Readonly<Record<string, string>> = {
    '%': '%',
    C: connectionHash(facts),
    d: facts.home,
    h: facts.hostname,
    i: String(facts.uid),
    j: facts.jump,
    k: facts.hostKeyAlias ?? facts.alias,
    L: facts.localHost.split('.')[0] ?? '',
    l: facts.localHost,
    n: facts.alias,
    p: String(facts.port),
    r: facts.user,
    u: facts.localUser,
  };
  let problem: string | null = null;
  const expanded = text.replace(/%(.?)|\$\{([^}]*)\}/g, (whole, token?: string, variable?: string) => {
    const value = variable === undefined ? table[token ?? ''] : facts.env[variable];
    if (value === undefined) problem ??= `${whole} stands for nothing here`;
    return value ?? whole;
  });
  return problem === null ? { text: expanded } : { problem };
}

/** %C: the hash that OpenSSH uses for names of control sockets (ssh_config(5)). */
function connectionHash({ localHost, hostname, port, user, jump }: TokenFacts): string {
  return createHash('sha1').update(`${localHost}${hostname}${port}${user}${jump}`).digest('hex');
}

/** `~` and `~/x` under the home; `~user/x` is left as it is. */
export function expandHome(path: string, home: string): string {
  return path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path;
}

/** The same, and `~user/x` under that user's home where the passwd file knows one, as ssh does. */
export function expandAnyHome(path: string, home: string): string {
  const user = /^~([^/]+)/.exec(path)?.[1];
  if (user === undefined) return expandHome(path, home);
  const theirs = homeOfUser(user);
  return theirs === null ? path : join(theirs, path.slice(1 + user.length));
}
