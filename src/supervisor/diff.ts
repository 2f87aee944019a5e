// What a changed config means for the tunnels that run: who is new, gone, renamed or changed, in sentences. Pure.
import { formatEndpoint } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { same } from './canonical.ts';

export type Change =
  | { readonly kind: 'added'; readonly tunnel: Tunnel }
  | { readonly kind: 'removed'; readonly name: string }
  | { readonly kind: 'renamed'; readonly from: string; readonly tunnel: Tunnel }
  | { readonly kind: 'changed'; readonly tunnel: Tunnel; readonly what: readonly string[] }
  | { readonly kind: 'unchanged'; readonly tunnel: Tunnel };

/** `before` holds what runs, tunnels that were gone from the file already among them. In the order of the new config. */
export function diffTunnels(before: readonly Tunnel[], after: readonly Tunnel[]): readonly Change[] {
  const gone = before.filter(({ name }) => !after.some((tunnel) => tunnel.name === name));
  const changes = after.map((tunnel): Change => {
    const old = before.find(({ name }) => name === tunnel.name);
    if (old !== undefined) {
      if (same(old, tunnel)) return { kind: 'unchanged', tunnel };
      return { kind: 'changed', tunnel, what: differences(old, tunnel) };
    }
    const renamed = gone.findIndex((other) => sharesPort(other, tunnel));
    if (renamed < 0) return { kind: 'added', tunnel };
    const [from] = gone.splice(renamed, 1);
    return { kind: 'renamed', from: from?.name ?? '', tunnel };
  });
  return [...changes, ...gone.map(({ name }): Change => ({ kind: 'removed', name }))];
}

/** The same address: what a client of the old name goes on connecting to. */
function sharesPort(a: Tunnel, b: Tunnel): boolean {
  const address = (tunnel: Tunnel, { type, listen }: Forward): unknown => {
    if (listen.kind === 'tcp' && listen.port === 0) return null;
    return type === 'remote' ? [listen, tunnel.ways] : listen;
  };
  return a.forwards.some((one) => {
    const mine = address(a, one);
    return mine !== null && b.forwards.some((other) => same(mine, address(b, other)));
  });
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

/** What the user reads of a change; null for what is not worth a word. */
export function describeChange(change: Change, wanted: boolean, prune: boolean): string | null {
  switch (change.kind) {
    case 'added':
      return `${change.tunnel.name}: added, tunnel up ${change.tunnel.name} starts it`;
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
