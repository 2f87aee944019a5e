// Which program of this machine is behind a connection, asked of the system once a connection.
import { programsAt, type Holder } from '../forward/tcp-table.ts';
import type { TunnelFlow } from '../model/flow.ts';
import { flowKey } from '../model/traffic.ts';

/** A program of another user is never seen, and looking for one is work: so often it is tried. */
const mostTries = 2;

interface Known {
  readonly program: Holder | null;
  readonly tries: number;
}

export class LocalPrograms {
  #known = new Map<string, Known>();

  /** Looks for the programs of connections that are new, and forgets those that are gone. Never rejects. */
  async look(flows: readonly TunnelFlow[]): Promise<void> {
    const known = new Map<string, Known>();
    const sought: { readonly key: string; readonly port: number; readonly remotePort: number }[] = [];
    for (const flow of flows) {
      const key = flowKey(flow);
      if (key === null || flow.peer === null || flow.port === null) continue;
      const before = this.#known.get(key) ?? { program: null, tries: 0 };
      known.set(key, before);
      if (before.program !== null || before.tries >= mostTries) continue;
      sought.push({ key, port: flow.peer.port, remotePort: flow.port });
    }
    this.#known = known;
    if (sought.length === 0) return;
    const found = await programsAt(sought).catch(() => []); // the system does not tell
    sought.forEach(({ key }, index) => {
      known.set(key, { program: found[index] ?? null, tries: (known.get(key)?.tries ?? 0) + 1 });
    });
  }

  /** Null where it is not known. */
  of(flow: TunnelFlow): Holder | null {
    const key = flowKey(flow);
    return key === null ? null : (this.#known.get(key)?.program ?? null);
  }
}
