// Follows the built program's own `status --watch --json` and keeps what it said, tunnel by tunnel.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { StatusDocument, TunnelStatus } from '../src/model/status.ts';
import type { World } from '../test/helpers/world.ts';
import type { FairClock } from './fair-clock.ts';
import { moveWatch, type History, type Loss, type Sample } from './truth.ts';

export interface Watch extends AsyncDisposable {
  of(tunnel: string): History;
  /** The losses that were told as its `lastError`. */
  lossesOf(tunnel: string): readonly Loss[];
  /** The newest document. */
  last(): StatusDocument;
  /** Resolves with true once a document satisfies the condition, with false after so much of the clock's time. */
  until(condition: (document: StatusDocument) => boolean, withinMs: number): Promise<boolean>;
}

/** What was said of one tunnel. */
interface Told {
  readonly history: Sample[];
  readonly losses: Loss[];
  /** When its last error was. */
  lastAt: string;
  readonly moves: ReturnType<typeof moveWatch>;
}

function take(told: Told, tunnel: TunnelStatus, atMs: number): void {
  const { state, since, lastError } = tunnel;
  const moved = told.moves(tunnel);
  if (lastError !== null && lastError.at !== told.lastAt && lastError.code === 'LINK_LOST')
    told.losses.push({ atMs, message: lastError.message });
  told.lastAt = lastError?.at ?? '';
  const before = told.history.at(-1);
  if (before?.state === state && before.since === since) return;
  told.history.push({ atMs, state, since, ...(moved ? { moved } : {}) });
}

export async function watchStatus(world: World, clock: FairClock): Promise<Watch> {
  const child = world.start(['status', '--watch', '--json']);
  if (child.stdout === null) throw new Error('status --watch has no output');
  const of = new Map<string, Told>();
  const listeners = new Set<() => void>();
  let last: StatusDocument | null = null;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    last = JSON.parse(line) as StatusDocument;
    for (const tunnel of last.tunnels) {
      const told = of.get(tunnel.name) ?? { history: [], losses: [], lastAt: '', moves: moveWatch() };
      of.set(tunnel.name, told);
      take(told, tunnel, clock.now());
    }
    for (const listener of listeners) listener();
  });
  await once(lines, 'line');
  const current = (): StatusDocument => {
    if (last === null) throw new Error('status --watch has said nothing');
    return last;
  };
  return {
    of: (tunnel) => of.get(tunnel)?.history ?? [],
    lossesOf: (tunnel) => of.get(tunnel)?.losses ?? [],
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
