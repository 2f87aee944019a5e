// The address of a supervisor, kept in the state folder: commands find its socket by it, whatever their environment.
import { readFileSync, rmSync, writeFileSync, renameSync } from 'node:fs';

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

/** Replaces the file in one step, 0600. */
export function writeAddress(path: string, address: Address): void {
  const whole = `${path}.${address.pid}`;
  writeFileSync(whole, `${JSON.stringify({ version: 1, ...address })}\n`, { mode: 0o600 });
  renameSync(whole, path);
}

export function removeAddress(path: string): void {
  rmSync(path, { force: true });
}
