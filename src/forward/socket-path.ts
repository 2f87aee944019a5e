// The path of a unix listener: what lies there, whose it is, and the private name that it is bound at first.
import { randomBytes } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TunnelError } from '../errors.ts';

/** A name in the same folder that nobody else uses; null where none fits. */
export function nameBeside(path: string): string | null {
  const name = join(dirname(path), `.${randomBytes(4).toString('hex')}`);
  return Buffer.byteLength(name) > pathLimit ? null : name;
}

/** Null where nothing lies there. */
export function identityOf(path: string): string | null {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev}:${found.ino}`;
}

/** sun_path holds 108 bytes on Linux, 104 on macOS and the BSDs, with the closing NUL (unix(7)). */
export const pathLimit = process.platform === 'linux' ? 107 : 103;

/** Runs a synchronous bind so that the socket file is 0600 from its birth: bind(2) applies the umask. */
export function withPrivateUmask(bind: () => void): void {
  const before = process.umask(0o177);
  try {
    bind();
  } finally {
    process.umask(before);
  }
}

export function kindOf(path: string): 'none' | 'socket' | 'other' {
  try {
    return lstatSync(path).isSocket() ? 'socket' : 'other';
  } catch {
    return 'none';
  }
}

export function unixFailed(path: string, why: string, hint: string | null): TunnelError {
  return new TunnelError('LISTEN_FAILED', `listen failed, on ${path}: ${why}`, { hint, facts: { path } });
}
