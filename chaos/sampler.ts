// What a running supervisor holds, measured from outside: by the kernel's books, and by how soon it answers.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { connectControl } from '../src/control/client.ts';
import type { Scene } from './scene.ts';

export interface Held {
  /** Proportional and whole resident memory (proc(5): smaps_rollup), MiB. */
  readonly pssMib: number;
  readonly rssMib: number;
  readonly descriptors: number;
  /**
   * How long one `status` over the control socket took: the connect, the answer, and however long the event loop was busy before.
   * Null: no answer, as while the supervisor sleeps (SIGSTOP).
   */
  readonly answerMs: number | null;
}

export interface Measure extends Held {
  readonly atSeconds: number;
  /** Links that are up. */
  readonly links: number;
  /** Bytes and connections since the beginning. */
  readonly bytes: number;
  readonly connections: number;
}

export async function measure({ supervisor, world }: Scene): Promise<Held> {
  const rollup = readFileSync(`/proc/${supervisor}/smaps_rollup`, 'utf8');
  const mib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? Number.NaN) / 1024;
  const descriptors = readdirSync(`/proc/${supervisor}/fd`).length;
  return { pssMib: mib('Pss'), rssMib: mib('Rss'), descriptors, answerMs: await answerMs(world.folder) };
}

async function answerMs(home: string): Promise<number | null> {
  const run = join(home, 'run');
  const socket = readdirSync(run).find((name) => name.endsWith('.sock'));
  if (socket === undefined) return null;
  const owner = { platform: process.platform, uid: process.getuid?.() ?? 0 };
  const begin = performance.now();
  const client = await connectControl(join(run, socket), { version: 'soak', owner }).catch(() => null);
  if (client === null) return null;
  try {
    await client.call('status', { selectors: [] });
    return performance.now() - begin;
  } catch {
    return null;
  } finally {
    client.close();
  }
}
