// Follows the built program's own `status --watch --json` and keeps what it said, tunnel by tunnel.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { StatusDocument } from '../src/model/status.ts';
import type { World } from '../test/helpers/world.ts';
import type { FairClock } from './fair-clock.ts';
import type { History, Sample } from './truth.ts';

export interface Watch extends AsyncDisposable {
  of(tunnel: string): History;
  /** The newest document. */
  last(): StatusDocument;
  /** Resolves with true once a document satisfies the condition, with false after so much of the clock's time. */
  until(condition: (document: StatusDocument) => boolean, withinMs: number): Promise<boolean>;
}

export async function watchStatus(world: World, clock: FairClock): Promise<Watch> {
  const child = world.start(['status', '--watch', '--json']);
  if (child.stdout === null) throw new Error('status --watch has no output');
  const histories = new Map<string, Sample[]>();
  const listeners = new Set<() => void>();
  let last: StatusDocument | null = null;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    last = JSON.parse(line) as StatusDocument;
    for (const { name, state, since } of last.tunnels) {
      const history = histories.get(name) ?? [];
      histories.set(name, history);
      const before = history.at(-1);
      if (before?.state === state && before.since === since) continue;
      history.push({ atMs: clock.now(), state, since });
    }
    for (const listener of listeners) listener();
  });
  await once(lines, 'line');
  const current = (): StatusDocument => {
    if (last === null) throw new Error('status --watch has said nothing');
    return last;
  };
  return {
    of: (tunnel) => histories.get(tunnel) ?? [],
    last: current,
    async until(condition, withinMs) {
      const over = new AbortController();
      const look = (): void => {
        if (condition(current())) over.abort();
      };
      listeners.add(look);
      look();
      await clock.sleep(withinMs, over.signal);
      listeners.delete(look);
      return over.signal.aborted;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}
