// Rates of bytes, from the differences of what is counted: of tunnels with their last minutes, of connections as they are now. Pure.
import type { TunnelFlow } from './flow.ts';
import type { TunnelStatus } from './status.ts';

/** Bytes a second, as they were counted from one look to the next. */
export interface Rate {
  readonly in: number;
  readonly out: number;
}

interface Counted {
  readonly atMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface TunnelTraffic {
  readonly last: Counted;
  /** The latest last, one a look. */
  readonly rates: readonly Rate[];
  /** Milliseconds; null where it was not known. */
  readonly latencies: readonly (number | null)[];
}

export type Traffic = ReadonlyMap<string, TunnelTraffic>;

/** Looks that are kept of each tunnel. */
const kept = 120;

/** With one look more; tunnels that are gone are forgotten. `atMs` grows. */
export function withLook(before: Traffic, tunnels: readonly TunnelStatus[], atMs: number): Traffic {
  return new Map(
    tunnels.map((tunnel) => {
      const last = { atMs, ...sumOf(tunnel) };
      const old = before.get(tunnel.name);
      const rates = old === undefined ? [] : [...old.rates, rateBetween(old.last, last)];
      const latencies = [...(old?.latencies ?? []), tunnel.latencyMs];
      return [tunnel.name, { last, rates: rates.slice(-kept), latencies: latencies.slice(-kept) }];
    }),
  );
}

function sumOf({ forwards }: TunnelStatus): Omit<Counted, 'atMs'> {
  let bytesIn = 0;
  let bytesOut = 0;
  for (const forward of forwards) {
    bytesIn += forward.bytesIn;
    bytesOut += forward.bytesOut;
  }
  return { bytesIn, bytesOut };
}

/** What counts less than before has begun anew: nothing is known of the time between. */
function rateBetween(before: Counted, after: Counted): Rate {
  const seconds = (after.atMs - before.atMs) / 1000;
  const each = (was: number, is: number): number => (seconds > 0 && is > was ? (is - was) / seconds : 0);
  return { in: each(before.bytesIn, after.bytesIn), out: each(before.bytesOut, after.bytesOut) };
}

export interface FlowTraffic {
  readonly last: Counted;
  readonly rate: Rate;
}

/** By `flowKey`. */
export type FlowTraffics = ReadonlyMap<string, FlowTraffic>;

/** Names a connection from one look to the next; null where nothing tells it from another (a unix socket). */
export function flowKey({ peer, port }: TunnelFlow): string | null {
  return peer === null || port === null ? null : `${peer.host} ${peer.port} ${port}`;
}

export function withFlows(before: FlowTraffics, flows: readonly TunnelFlow[], atMs: number): FlowTraffics {
  const next = new Map<string, FlowTraffic>();
  for (const flow of flows) {
    const key = flowKey(flow);
    if (key === null) continue;
    const last = { atMs, bytesIn: flow.bytesIn, bytesOut: flow.bytesOut };
    const old = before.get(key);
    next.set(key, { last, rate: old === undefined ? { in: 0, out: 0 } : rateBetween(old.last, last) });
  }
  return next;
}
