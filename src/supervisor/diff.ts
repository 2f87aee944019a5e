// What a changed config means for the tunnels that run: who is new, gone, renamed or changed, in sentences. Pure.
import { formatEndpoint } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { canonicalJson, same } from './canonical.ts';

export type Change =
  | { readonly kind: 'added'; readonly tunnel: Tunnel }
  | { readonly kind: 'removed'; readonly name: string }
  | { readonly kind: 'renamed'; readonly from: string; readonly tunnel: Tunnel }
  | { readonly kind: 'changed'; readonly tunnel: Tunnel; readonly what: readonly string[] }
  | { readonly kind: 'unchanged'; readonly tunnel: Tunnel };

/** `before` holds what runs, tunnels that were gone from the file already among them. In the order of the new config. */
export function diffTunnels(before: readonly Tunnel[], after: readonly Tunnel[]): readonly Change[] {
  const names = new Set(after.map(({ name }) => name));
  const old = new Map(before.map((tunnel) => [tunnel.name, tunnel]));
  const gone = new Set(before.filter(({ name }) => !names.has(name)));
  const at = new Map<string, Tunnel[]>();
  for (const tunnel of gone)
    for (const address of addressesOf(tunnel)) at.set(address, [...(at.get(address) ?? []), tunnel]);
  const changes = after.map((tunnel): Change => {
    const known = old.get(tunnel.name);
    if (known !== undefined) {
      if (same(known, tunnel)) return { kind: 'unchanged', tunnel };
      return { kind: 'changed', tunnel, what: differences(known, tunnel) };
    }
    const from = addressesOf(tunnel)
      .flatMap((address) => at.get(address) ?? [])
      .find((other) => gone.has(other));
    if (from === undefined) return { kind: 'added', tunnel };
    gone.delete(from);
    return { kind: 'renamed', from: from.name, tunnel };
  });
  return [...changes, ...[...gone].map(({ name }): Change => ({ kind: 'removed', name }))];
}

/** What clients connect to: a tunnel of another name that has the same is the same one, renamed. */
function addressesOf({ forwards, ways }: Tunnel): readonly string[] {
  return forwards
    .filter(({ listen }) => listen.kind !== 'tcp' || listen.port !== 0)
    .map(({ type, listen }) => canonicalJson(type === 'remote' ? [listen, ways] : listen));
}

function differences(old: Tunnel, tunnel: Tunnel): readonly string[] {
  const what: string[] = [];
  if (!same([old.ways, old.share], [tunnel.ways, tunnel.share]))
    what.push(`new connections go over ${tunnel.host}, running ones end on the old link`);
  if (!same(old.forwards, tunnel.forwards)) what.push(...forwardDifferences(old.forwards, tunnel.forwards));
  return what.length > 0 ? what : ['settings changed'];
}

function forwardDifferences(old: readonly Forward[], now: readonly Forward[]): readonly string[] {
  const key = ({ type, listen }: Forward): string => `${type} ${formatEndpoint(listen)}`;
  const what: string[] = [];
  for (const forward of now) {
    const before = old.find((other) => key(other) === key(forward));
    const at = formatEndpoint(forward.listen);
    if (before === undefined)
      what.push(`${forward.type === 'remote' ? 'the server listens' : 'listens'} on ${at}`);
    else if (!same(before, forward)) what.push(`${at} now leads to ${targetOf(forward)}`);
  }
  for (const forward of old) {
    if (!now.some((other) => key(other) === key(forward)))
      what.push(`no longer on ${formatEndpoint(forward.listen)}`);
  }
  return what.length > 0 ? what : ['forwards are in another order'];
}

function targetOf(forward: Forward): string {
  if (forward.type === 'dynamic' || forward.target === null) return 'other targets than before';
  return formatEndpoint(forward.target);
}

/** What the user reads of a change; null for what is not worth a word. `wanted`: the tunnel is up, or about to be. */
export function describeChange(change: Change, wanted: boolean, prune: boolean): string | null {
  switch (change.kind) {
    case 'added':
      return `${change.tunnel.name}: added${wanted ? '' : `, tunnel up ${change.tunnel.name} starts it`}`;
    case 'removed':
      if (!wanted) return `${change.name}: removed`;
      if (prune) return `${change.name}: gone from the file, brought down`;
      return `${change.name}: gone from the file, stays up until tunnel down ${change.name}`;
    case 'renamed':
      return `${change.from}: is now called ${change.tunnel.name}${wanted ? ', its port and link stay' : ''}`;
    case 'changed':
      return `${change.tunnel.name}: ${change.what.join('; ')}`;
    case 'unchanged':
      return null;
  }
}
