// A mount namespace for an sshd: its own /etc/pam.d and /root, so that passwords can be real and the machine stays as it is.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
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
  return { launcher: launcherFor(`mount --bind ${pamFolder} /etc/pam.d`, home), home };
}

function launcherFor(mount: string, home: string): readonly string[] {
  return ['unshare', '-m', 'sh', '-c', `${mount} && mount --bind ${home} /root && exec "$@"`, 'sh'];
}

export interface PrivateAccounts extends PrivateEtc {
  /** Root has to change the password at the next login, as after `chage -d 0`. */
  expire(): void;
  /** Root's entry of the shadow file inside: it changes with the password. */
  shadow(): string;
}

/** What a login reads there. */
const etcFiles = [
  'environment',
  'group',
  'gshadow',
  'host.conf',
  'hosts',
  'ld.so.cache',
  'localtime',
  'login.defs',
  'nsswitch.conf',
  'passwd',
  'resolv.conf',
  'security',
  'shadow',
  'shells',
];

/**
 * An /etc of its own, so that pam_unix(8) can check a password of root's, and change it: it replaces /etc/shadow. An
 * empty one is none: root may log in with `none` then, where PermitEmptyPasswords says so.
 */
export function privateAccounts(password: string, pam: readonly string[]): PrivateAccounts {
  const folder = temporaryFolder('accounts');
  const [etc, home] = [join(folder, 'etc'), join(folder, 'root')];
  mkdirSync(home, { mode: 0o700 });
  mkdirSync(join(etc, 'pam.d'), { recursive: true });
  const needed = etcFiles.map((name) => join('/etc', name)).filter((path) => existsSync(path));
  execFileSync('cp', ['-a', ...needed, etc]);
  chmodSync(etc, 0o755);
  writeFileSync(join(etc, 'pam.d', 'sshd'), `${pam.join('\n')}\n`);
  const file = join(etc, 'shadow');
  const setRoot = (edit: (fields: string[]) => void): void => {
    const lines = readFileSync(file, 'utf8').split('\n');
    const fields = lines.find((line) => line.startsWith('root:'))?.split(':') ?? [];
    edit(fields);
    const next = lines.map((line) => (line.startsWith('root:') ? fields.join(':') : line));
    writeFileSync(file, next.join('\n'));
  };
  const hash = execFileSync('openssl', ['passwd', '-5', '-stdin'], { input: password, encoding: 'utf8' });
  setRoot((fields) => (fields[1] = password === '' ? '' : hash.trim()));
  return {
    launcher: launcherFor(`mount --bind ${etc} /etc`, home),
    home,
    expire: () => setRoot((fields) => (fields[2] = '0')),
    shadow: () => /^root:.*$/m.exec(readFileSync(file, 'utf8'))?.[0] ?? '',
  };
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
