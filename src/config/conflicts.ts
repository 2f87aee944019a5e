// Two forwards on one address: an error unless at most one of their tunnels starts by itself (SPEC 2). Pure.
import { bindHosts, isWildcard, type Endpoint } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';

export interface Listener {
  readonly tunnel: string;
  readonly autostart: boolean;
  /** Listeners on one machine can be in each other's way: "" for this one, else the word after `host:`. */
  readonly machine: string;
  readonly at: Endpoint;
}

/** Pairs of places in the list that are in each other's way: [later, earlier], the first earlier one of each. */
export function conflicts(listeners: readonly Listener[]): readonly (readonly [number, number])[] {
  const groups = new Map<string, number[]>();
  const found: [number, number][] = [];
  for (const [index, listener] of listeners.entries()) {
    const key = groupOf(listener);
    if (key === null) continue;
    const group = groups.get(key) ?? [];
    const earlier = group.find((other) => clash(listener, listeners[other]));
    if (earlier !== undefined) found.push([index, earlier]);
    groups.set(key, [...group, index]);
  }
  return found;
}

/** The end of a forward that listens. */
export function listenerOf(forward: Forward, tunnel: string, host: string, autostart: boolean): Listener {
  return { tunnel, autostart, machine: forward.type === 'remote' ? host : '', at: forward.listen };
}

/** Only the same port, or the same path, can clash. Port 0 never does: the system picks a free one. */
function groupOf({ at, machine }: Listener): string | null {
  if (at.kind === 'unix') return `${machine}\n${at.path}`;
  return at.port === 0 ? null : `${machine}\n${at.port}`;
}

function clash(one: Listener, other: Listener | undefined): boolean {
  if (other === undefined) return false;
  if (one.tunnel !== other.tunnel && !(one.autostart && other.autostart)) return false;
  if (one.at.kind === 'unix' || other.at.kind === 'unix') return one.at.kind === other.at.kind;
  const others = bindHosts(other.at.host).map(plainHost);
  return bindHosts(one.at.host)
    .map(plainHost)
    .some((host) => others.some((each) => overlaps(host, each)));
}

/** `::` binds IPv4 too here, 0.0.0.0 only IPv4; a name may stand for either. */
function overlaps(one: string, other: string): boolean {
  if (one === other) return true;
  const [wild, plain] = isWildcard(one) ? [one, other] : [other, one];
  if (!isWildcard(wild)) return false;
  return wild === '0.0.0.0' ? !plain.includes(':') || isWildcard(plain) : true;
}

/** One spelling of an address: lower case, IPv6 without its abbreviations. */
function plainHost(host: string): string {
  const lower = host.toLowerCase();
  if (!lower.includes(':')) return lower;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(lower);
  if (mapped !== null) return mapped[1] ?? lower;
  const url = `http://[${lower}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : lower;
}
