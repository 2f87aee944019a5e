// Two forwards on one address: an error unless at most one of their tunnels starts by itself (SPEC 2). Pure.
import { join } from 'node:path';
import { collide, placeOf, type Endpoint } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import type { DeclaredTunnel } from './declared.ts';

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
export function listenerOf(forward: Forward, { name, settings, folder }: DeclaredTunnel): Listener {
  const { listen, type } = forward;
  const isHere = type !== 'remote';
  const isRelative = listen.kind === 'unix' && /^\.\.?\//.test(listen.path);
  return {
    tunnel: name,
    autostart: settings.autostart ?? true,
    machine: isHere ? '' : (settings.host ?? name),
    at: isHere && isRelative ? { ...listen, path: join(folder, listen.path) } : listen,
  };
}

/** Port 0 is in nobody's way: the system picks a free one. */
function groupOf({ at, machine }: Listener): string | null {
  const place = placeOf(at);
  return place === 0 ? null : `${machine}\n${place}`;
}

function clash(one: Listener, other: Listener | undefined): boolean {
  if (other === undefined) return false;
  if (one.tunnel !== other.tunnel && !(one.autostart && other.autostart)) return false;
  return collide(one.at, other.at);
}
