// Keys for the tests of this room, made by ssh-keygen.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeKey } from '../helpers/sshd.ts';
import { temporaryFolder } from '../helpers/folder.ts';

export interface TestKey {
  readonly path: string;
  /** "ssh-ed25519 AAAA…" */
  readonly line: string;
  readonly type: string;
  readonly blob: Buffer;
}

const folder = temporaryFolder('keys');
let made = 0;

export function testKey(args: readonly string[] = ['-t', 'ed25519']): TestKey {
  return readPublic(makeKey(join(folder, `key${made++}`), args));
}

export function readPublic(path: string, suffix = '.pub'): TestKey {
  const [type = '', base64 = ''] = readFileSync(`${path}${suffix}`, 'utf8').trim().split(' ');
  return { path, line: `${type} ${base64}`, type, blob: Buffer.from(base64, 'base64') };
}

/** A certificate for the key's public part, signed by the CA; `args` as ssh-keygen takes them. */
export function certify(ca: TestKey, key: TestKey, args: readonly string[]): TestKey {
  execFileSync('ssh-keygen', ['-q', '-s', ca.path, ...args, `${key.path}.pub`], {
    stdio: 'pipe',
    env: { ...process.env, TZ: 'UTC' }, // times are local ones; the Z behind them is known since 9.1
  });
  return readPublic(key.path, '-cert.pub');
}
