// The clients of a run: a few at work by every way at any time, and an eye on those with whom nothing happens any more.
import { setMaxListeners } from 'node:events';
import { createConnection, type Connection } from './connection.ts';
import type { FairClock } from './fair-clock.ts';
import type { Random } from './random.ts';
import { drawScript, touchScript, type Script } from './script.ts';
import { playClient, type OpenWay } from './traffic.ts';

export interface CrewParts {
  readonly clock: FairClock;
  /** Milliseconds without any event after which a connection hangs; null while something is wrong on its path. */
  readonly patience: (way: OpenWay) => { readonly sinceMs: number; readonly boundMs: number } | null;
  /** False while nobody is to connect there: the port of a remote forward is gone while its link is. */
  readonly mayConnect: (way: OpenWay) => boolean;
  /** The number of the first connection: those of rounds before are not known any more. Default 0. */
  readonly firstId?: number;
}

/** How often somebody looks for connections that hang. */
const lookEveryMs = 250;
const crowdChance = 0.05;
/** Two workers a way: far fewer than a forward holds (SPEC 3: 128). */
const largestCrowd = 25;

export class Crew {
  readonly connections: Connection[] = [];
  readonly #parts: CrewParts;
  readonly #open = new Set<Connection>();
  readonly #over = new AbortController();

  constructor(parts: CrewParts) {
    this.#parts = parts;
    setMaxListeners(0, this.#over.signal); // as many as there are workers
  }

  /** A connection by its number. */
  known(id: number): Connection | undefined {
    return this.connections[id - this.#firstId];
  }

  get #firstId(): number {
    return this.#parts.firstId ?? 0;
  }

  /** Lets so many clients work by a way until `stop`; resolves when the last connection is over. */
  async work(way: OpenWay, workers: number, random: Random): Promise<void> {
    const { clock, mayConnect } = this.#parts;
    const { signal } = this.#over;
    const worker = async (own: Random): Promise<void> => {
      while (!signal.aborted) {
        if (mayConnect(way)) await this.#turn(way, own);
        await clock.sleep(own.scaled(1, 300), signal);
      }
    };
    await Promise.all(
      Array.from({ length: workers }, (_, index) => worker(random.fork(`${way.name}${index}`))),
    );
  }

  /** One connection, or now and then a crowd of short ones. */
  async #turn(way: OpenWay, random: Random): Promise<void> {
    if (!random.chance(crowdChance)) return void (await this.connect(way, drawScript(random)));
    const crowd = Array.from({ length: random.integer(5, largestCrowd) }, () => this.connect(way));
    await Promise.all(crowd);
  }

  /** No new connections from now on. */
  stop(): void {
    this.#over.abort();
  }

  /** One connection from its beginning to its end, at both ends. */
  async connect(way: OpenWay, script: Script = touchScript): Promise<Connection> {
    const { clock } = this.#parts;
    const connection = createConnection(this.#firstId + this.connections.length, way, script, clock.now());
    this.connections.push(connection);
    this.#open.add(connection);
    const begin = performance.now();
    await playClient(connection, way, clock);
    connection.lastedMs = performance.now() - begin;
    // What arrived must come to its end there, too.
    while (connection.arrivals > 0 && !connection.target.closed) await this.#look(connection);
    connection.endedMs = clock.now();
    this.#open.delete(connection);
    return connection;
  }

  async #look(connection: Connection): Promise<void> {
    this.#watch(connection);
    await this.#parts.clock.sleep(20);
  }

  /** Looks for connections that hang until the signal. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const connection of this.#open) this.#watch(connection);
      await this.#parts.clock.sleep(lookEveryMs, signal);
    }
  }

  #watch(connection: Connection): void {
    const { client, target, startedMs } = connection;
    const patience = this.#parts.patience(connection.way as OpenWay);
    if (patience === null || connection.hung !== null) return;
    const lastMs = Math.max(client.touchedMs, target.touchedMs, startedMs, patience.sinceMs);
    const idleMs = this.#parts.clock.now() - lastMs;
    if (idleMs < patience.boundMs) return;
    connection.hung = `nothing happened for ${Math.round(idleMs)} ms; client ${tell(client)}; target ${tell(target)}`;
    client.abandon();
    target.abandon();
  }
}

function tell(end: Connection['client']): string {
  const { sentBytes, ended, seen, closed, reader } = end;
  return `sent ${sentBytes}, read ${reader.bytes}, ended: ${ended}, saw: ${seen}${closed ? ', closed' : ''}`;
}
