// A real sshd that asks through a PAM stack of its own: root's password in a shadow file of its own, and what else is wanted.
import { namespaceMissing, privateAccounts, type PrivateAccounts } from './private-etc.ts';
import { codesMissing } from './one-time-codes.ts';
import { sshdMissing, startSshd, type Sshd } from './sshd.ts';

/** Null where there can be one; else why tests with one are skipped. */
export function pamServerMissing(): string | null {
  return sshdMissing() ?? namespaceMissing() ?? codesMissing();
}

export interface PamServer extends AsyncDisposable {
  readonly sshd: Sshd;
  readonly accounts: PrivateAccounts;
}

/** Checks the password; a wrong one ends it there. */
export const unix = 'auth requisite pam_unix.so nodelay';

const rest = [
  'auth optional pam_permit.so', // sets credentials, which a module that asks for codes leaves to others
  'account required pam_unix.so',
  'session required pam_permit.so',
  'password required pam_unix.so sha256 minlen=6',
];

/** `auth`: the lines that ask. `config`: of sshd, before ours. */
export async function startPamServer(
  password: string,
  auth: readonly string[],
  config: readonly string[] = [],
): Promise<PamServer> {
  const accounts = privateAccounts(password, [...auth, ...rest]);
  const sshd = await startSshd({
    launcher: accounts.launcher,
    config: [...config, 'UsePAM yes', 'KbdInteractiveAuthentication yes', 'PasswordAuthentication no'],
  });
  return { sshd, accounts, [Symbol.asyncDispose]: () => sshd.stop() };
}

export interface Seen {
  /** Methods of the requests, in order; the `none` that asks what there is left out. */
  readonly attempts: readonly string[];
  readonly refused: number;
  /** Rounds of keyboard-interactive. */
  readonly asked: number;
  readonly connections: number;
}

/** What the server sees from now on, as its log tells. */
export function watch(sshd: Sshd): () => Seen {
  const from = sshd.log().length;
  return () => {
    const log = sshd.log().slice(from);
    const attempts = [...log.matchAll(/userauth-request for user \S+ service \S+ method (\S+)/g)];
    return {
      attempts: attempts.flatMap(([, method = '']) => (method === 'none' ? [] : [method])),
      refused: log.match(/^Failed (?!none)\S+ for/gm)?.length ?? 0,
      asked: log.match(/^Postponed keyboard-interactive/gm)?.length ?? 0,
      connections: log.match(/^Connection from/gm)?.length ?? 0,
    };
  };
}
