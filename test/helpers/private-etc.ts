// A mount namespace for an sshd: its own /etc/pam.d and /root, so that passwords can be real and the machine stays as it is.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';

/** Null where tests may make a mount namespace (root, and the kernel lets us); else why they are skipped. */
export function namespaceMissing(): string | null {
  try {
    execFileSync('unshare', ['-m', 'mount', '--bind', '/tmp', '/mnt'], { stdio: 'ignore' });
    return null;
  } catch {
    return 'no mount namespace can be made here';
  }
}

export interface PrivateEtc {
  /** For SshdOptions: runs sshd inside. */
  readonly launcher: readonly string[];
  /** Becomes /root inside. */
  readonly home: string;
}

/** `pam`: lines of /etc/pam.d/sshd inside. */
export function privateEtc(pam: readonly string[]): PrivateEtc {
  const folder = temporaryFolder('etc');
  const [pamFolder, home] = [join(folder, 'pam.d'), join(folder, 'root')];
  mkdirSync(pamFolder);
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(pamFolder, 'sshd'), `${pam.join('\n')}\n`);
  const script = `mount --bind ${pamFolder} /etc/pam.d && mount --bind ${home} /root && exec "$@"`;
  return { launcher: ['unshare', '-m', 'sh', '-c', script, 'sh'], home };
}

/** A script for pam_exec(8) that takes one password, and lines of a stack around it. */
export function passwordPam(password: string): readonly string[] {
  const script = join(temporaryFolder('pam'), 'check.sh');
  // pam_exec ends what it writes with a NUL
  writeFileSync(script, `#!/bin/sh\n[ "$(tr -d '\\000')" = '${password}' ]\n`, { mode: 0o755 });
  return [
    `auth required pam_exec.so quiet expose_authtok ${script}`,
    'auth optional pam_permit.so', // sets credentials, which pam_exec leaves to others
    'account required pam_permit.so',
    'session required pam_permit.so',
    'password required pam_permit.so',
  ];
}
