// The watch for servers that do not answer: while somebody waits, a TCP connect every so often, one for all links to an
// address, so that a server that comes back is noticed within a moment (SPEC 3).
import type { Cancel, Clock } from '../model/clock.ts';
import type { Host } from '../model/host.ts';
import type { Dialer, OpenTransport } from '../model/session.ts';
import { canonicalJson } from './canonical.ts';

/** A link that wants to be told when its first hop answers. */
export interface TcpWatcher {
  /** When the link's outage began, monotonic. */
  readonly awaySinceMs: () => number;
  /** When the link last tried by itself, monotonic. */
  readonly triedAtMs: () => number;
  /** The server answers. One of the links gets the open transport, the others null. */
  readonly answered: (transport: OpenTransport | null) => void;
}

interface Group {
  readonly host: Host;
  readonly watchers: Set<TcpWatcher>;
  readonly underWay: Set<AbortController>;
  startedAtMs: number;
  cancel: Cancel | null;
}

const eagerMs = 400;
const eagerForMs = 10_000;
const patientMs = 5_000;

export class TcpWatch {
  readonly #dialer: Dialer;
  readonly #clock: Clock;
  readonly #groups = new Map<string, Group>();

  constructor(dialer: Dialer, clock: Clock) {
    this.#dialer = dialer;
    this.#clock = clock;
  }

  /** Idempotent. A server behind a ProxyCommand is not watched: the TCP there is not ours. */
  join(host: Host, watcher: TcpWatcher): void {
    if (host.proxyCommand !== null) return;
    const key = addressKey(host);
    const group = this.#groups.get(key) ?? newGroup(host);
    this.#groups.set(key, group);
    if (group.watchers.has(watcher)) return;
    group.watchers.add(watcher);
    this.#plan(group);
  }

  leave(host: Host, watcher: TcpWatcher): void {
    const group = this.#groups.get(addressKey(host));
    if (group === undefined || !group.watchers.delete(watcher) || group.watchers.size > 0) return;
    this.#rest(group);
  }

  /** The next connect to a host's address, monotonic; null while nobody watches. */
  nextAtMs(host: Host): number | null {
    const group = this.#groups.get(addressKey(host));
    return group === undefined || group.cancel === null ? null : this.#nextAtMs(group);
  }

  #nextAtMs(group: Group): number {
    const triedAtMs = [...group.watchers].map((watcher) => watcher.triedAtMs());
    const fresh = [...group.watchers].some(
      (watcher) => this.#clock.monotonic() - watcher.awaySinceMs() < eagerForMs,
    );
    return Math.max(group.startedAtMs, ...triedAtMs) + (fresh ? eagerMs : patientMs);
  }

  #plan(group: Group): void {
    group.cancel?.();
    const delayMs = Math.max(0, this.#nextAtMs(group) - this.#clock.monotonic());
    group.cancel = this.#clock.schedule(delayMs, () => this.#connect(group));
  }

  #rest(group: Group): void {
    group.cancel?.();
    group.cancel = null;
    for (const controller of group.underWay) controller.abort(new Error('nobody waits for this connect'));
    group.underWay.clear();
  }

  /** Started whether or not the last one has ended: a packet lost in a dead network is sent again only after seconds. */
  #connect(group: Group): void {
    group.startedAtMs = this.#clock.monotonic();
    const controller = new AbortController();
    group.underWay.add(controller);
    this.#plan(group);
    this.#dialer.reach(group.host, controller.signal).then(
      (transport) => {
        if (!group.underWay.delete(controller)) transport?.destroy();
        else if (transport !== null) this.#answered(group, transport);
        else this.#rest(group);
      },
      // A connect that fails says nothing new: the link keeps the failure of its own attempt.
      () => group.underWay.delete(controller),
    );
  }

  #answered(group: Group, transport: OpenTransport): void {
    const watchers = [...group.watchers];
    group.watchers.clear();
    this.#rest(group);
    const [first, ...others] = watchers;
    if (first === undefined) transport.destroy();
    else first.answered(transport);
    for (const other of others) other.answered(null);
  }
}

function newGroup(host: Host): Group {
  return {
    host,
    watchers: new Set(),
    underWay: new Set(),
    startedAtMs: Number.NEGATIVE_INFINITY,
    cancel: null,
  };
}

function addressKey({ hostname, port, proxy, bindAddress, addressFamily }: Host): string {
  const address = proxy === null ? { hostname, port } : { hostname: proxy.host, port: proxy.port };
  return canonicalJson({ address, proxy: proxy?.scheme ?? null, bindAddress, addressFamily });
}
