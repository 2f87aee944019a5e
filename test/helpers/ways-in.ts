// What tests of the ways in share: servers that let several users in, and what a server's log says of the logins it saw.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { makeKey, startSshd, type Sshd, type SshdOptions } from './sshd.ts';

export interface OpenDoor extends Sshd, AsyncDisposable {
  /** Lets the public half of a key in as this user of the machine. */
  admit(user: string, key: string): void;
}

/** A real sshd whose users each have their own authorized keys, whatever their home and shell. Root is needed for it. */
export async function startOpenDoor(options: SshdOptions = {}): Promise<OpenDoor> {
  const doors = temporaryFolder('doors');
  chmodSync(doors, 0o755);
  const root = process.env['TUNNEL_TEST_ROOT'];
  if (root !== undefined) chmodSync(root, 0o711); // sshd reads below it as the user
  const sshd = await startSshd({
    ...options,
    config: [...(options.config ?? []), `AuthorizedKeysFile ${join(doors, '%u')}`],
  });
  const admit = (user: string, key: string): void => {
    writeFileSync(join(doors, user), readFileSync(`${key}.pub`), { mode: 0o644, flag: 'a' });
  };
  admit(sshd.user, sshd.identity);
  return { ...sshd, admit };
}

/** A fresh key that logs in there as this user. */
export function keyFor(door: OpenDoor, user: string, args?: readonly string[], passphrase = ''): string {
  const key = makeKey(join(temporaryFolder('key'), 'id'), args, passphrase);
  door.admit(user, key);
  return key;
}

const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;

/** Connections that got as far as a TCP connect. The probe of `startSshd` is one of them. */
export const connections = (sshd: Pick<Sshd, 'log'>): number => count(sshd.log(), /^Connection from/gm);

/** Logins that the server let in, for one user or all. */
export const logins = (sshd: Pick<Sshd, 'log'>, user = '\\S+'): number =>
  count(sshd.log(), new RegExp(`^Accepted \\S+ for ${user} from`, 'gm'));

/** Requests that name a user and a method: with "none", one for each offer of a credential. */
export const requests = (sshd: Pick<Sshd, 'log'>): number => count(sshd.log(), /userauth-request for user/g);

/** Signs a public key as ssh-keygen does; the certificate is beside it. */
export function sign(ca: string, key: string, ...args: readonly string[]): string {
  execFileSync('ssh-keygen', ['-q', '-s', ca, ...args, `${key}.pub`]);
  return `${key}-cert.pub`;
}

/** Resolves once the condition holds; for what nothing tells us of, such as a server's log. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
