// One-time codes at a real server: pam_google_authenticator(8) with its state file, and oathtool(1) as a judge that is not ours.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';

/** Null when PAM can ask for codes here; else why such tests are skipped. REQUIRE_SSHD=1 turns that into a failure. */
export function codesMissing(): string | null {
  const root = process.env['SSHD_ROOT'] ?? '/'; // PAM modules come from where sshd comes from
  const libraries = [join(root, 'usr/lib'), join(root, 'lib')].filter((path) => existsSync(path));
  const modules = libraries.flatMap((path) => readdirSync(path).map((name) => join(path, name, 'security')));
  const found = modules.some((folder) => existsSync(join(folder, 'pam_google_authenticator.so')));
  if (found && existsSync('/usr/bin/oathtool')) return null;
  if (process.env['REQUIRE_SSHD'] === '1' && root === '/')
    throw new Error('REQUIRE_SSHD=1, but pam_google_authenticator or oathtool is missing');
  return 'no pam_google_authenticator or no oathtool on this machine';
}

export interface Authenticator {
  /** The shared secret, base32. */
  readonly seed: string;
  /** As an app reads it from the QR code. */
  readonly uri: string;
  /** A line of /etc/pam.d/sshd. */
  pam(control?: string, ...options: readonly string[]): string;
  /** The code of a moment, as oathtool has it. */
  code(at?: Date): string;
  /** As if it had never been asked. */
  reset(): void;
  /** Steps whose codes were taken: each is taken once (DISALLOW_REUSE). */
  used(): readonly number[];
  /** How often a code was tried, right or wrong, in the last hour: the module counts for its rate limit. */
  tries(): number;
}

/** A state file whose codes last so many seconds, each good for one login. */
export function authenticator(periodSeconds = 30): Authenticator {
  const seed = 'PL4NTEDSEEDJBSWY3DPEHPK3PX';
  const file = join(temporaryFolder('codes'), 'google_authenticator');
  // a wide window: a machine under load is late by several short steps
  const settings = [
    'RATE_LIMIT 100 3600',
    'WINDOW_SIZE 17',
    'DISALLOW_REUSE',
    `STEP_SIZE ${periodSeconds}`,
    'TOTP_AUTH',
  ];
  const reset = (): void =>
    writeFileSync(file, `${seed}\n${settings.map((line) => `" ${line}\n`).join('')}`, { mode: 0o600 });
  reset();
  const numbers = (line: RegExp): number[] =>
    (line.exec(readFileSync(file, 'utf8'))?.[1] ?? '').trim().split(' ').filter(Boolean).map(Number);
  return {
    seed,
    uri: `otpauth://totp/box:root?secret=${seed}&period=${periodSeconds}`,
    pam: (control = 'required', ...options) =>
      ['auth', control, 'pam_google_authenticator.so', `secret=${file}`, 'user=root', ...options].join(' '),
    code: (at = new Date()) =>
      execFileSync(
        'oathtool',
        [
          '--totp',
          '--base32',
          `--time-step-size=${periodSeconds}s`,
          `--now=@${Math.floor(at.getTime() / 1000)}`,
          seed,
        ],
        { encoding: 'utf8' },
      ).trim(),
    reset,
    used: () => numbers(/^" DISALLOW_REUSE(.*)$/m),
    tries: () => numbers(/^" RATE_LIMIT 100 3600(.*)$/m).length,
  };
}

/** Another module, pam_oath(8): it knows periods of 30 and 60 s, and asks for a one-time password. */
export function oath(periodSeconds: 30 | 60): { readonly uri: string; readonly pam: string } {
  const file = join(temporaryFolder('oath'), 'users.oath');
  const [seed, hex] = ['PL4NTEDSEEDJBSWY3DPEHPK3PX', '7af8d99072210690cad8d8de43bd5b7d'];
  writeFileSync(file, `HOTP/T${periodSeconds}/6 root - ${hex}\n`, { mode: 0o600 });
  return {
    uri: `otpauth://totp/box:root?secret=${seed}&period=${periodSeconds}`,
    pam: `auth required pam_oath.so usersfile=${file} window=5 digits=6`,
  };
}
