// The address of a supervisor, kept in the state folder: commands find its socket by it, whatever their environment.
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface Address {
  readonly pid: number;
  /** Path of the socket, or name of the pipe. */
  readonly socket: string;
  /** To be said in `hello`; null where the file system guards the socket. */
  readonly token: string | null;
  /** The config it serves, as its user would know it. */
  readonly config: string;
}

/** Null: there is none, or none that can be understood (then no supervisor of ours wrote it). */
export function readAddress(path: string): Address | null {
  try {
    const { pid, socket, token, config } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Address>;
    if (typeof pid !== 'number' || typeof socket !== 'string' || typeof config !== 'string') return null;
    return { pid, socket, config, token: typeof token === 'string' ? token : null };
  } catch {
    return null;
  }
}

/** Replaces the file in one step, 0600, and removes what a supervisor left that was killed at this. For the holder of the lock. */
export function writeAddress(path: string, address: Address): void {
  const whole = `${path}.${address.pid}`;
  writeFileSync(whole, `${JSON.stringify({ version: 1, ...address })}\n`, { mode: 0o600 });
  renameSync(whole, path);
  const half = new RegExp(`^${basename(path).replace('.', '\\.')}\\.\\d+$`);
  for (const name of readdirSync(dirname(path)))
    if (half.test(name)) rmSync(join(dirname(path), name), { force: true });
}

export function removeAddress(path: string): void {
  rmSync(path, { force: true });
}
