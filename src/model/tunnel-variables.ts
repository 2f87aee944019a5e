// Variables of tunnels, for `env` and `exec`: where each listens here, then its own `env:` with that filled in (SPEC 4). Pure.
import { TunnelError } from '../errors.ts';
import { formatEndpoint, type Endpoint } from './endpoint.ts';
import type { Forward } from './forward.ts';
import type { Tunnel } from './tunnel.ts';

export type NamedTunnel = Pick<Tunnel, 'name' | 'forwards' | 'env'>;
export type LocalListener = Exclude<Forward, { readonly type: 'remote' }>;

/** A tunnel and where each of its local listeners is reached, in their order. */
export interface Reached {
  readonly tunnel: NamedTunnel;
  readonly ends: readonly Endpoint[];
}

interface Variable {
  readonly name: string;
  readonly value: string;
  readonly tunnel: string;
  /** From a name, not from `env:`. */
  readonly derived: boolean;
}

/** Forwards that a program here connects to. */
export function localListeners(forwards: readonly Forward[]): readonly LocalListener[] {
  return forwards.filter((forward): forward is LocalListener => forward.type !== 'remote');
}

/** A listener on every address is reached on the loopback. */
export function reachedAt(listen: Endpoint): Endpoint {
  if (listen.kind === 'unix') return listen;
  if (listen.host === '0.0.0.0' || listen.host === '*') return { ...listen, host: '127.0.0.1' };
  return listen.host === '::' ? { ...listen, host: '::1' } : listen;
}

/** In the order of the tunnels; of forwards without a name the first has the tunnel's, the others none; an own entry replaces what the tunnel's name gives. Throws USAGE where two come to one name. */
export function tunnelVariables(reached: readonly Reached[]): ReadonlyMap<string, string> {
  const known = new Map<string, Variable>();
  for (const variable of reached.flatMap(variablesOf)) {
    const other = known.get(variable.name);
    if (other !== undefined && !agree(other, variable)) throw clash(other, variable);
    known.set(variable.name, variable);
  }
  return new Map([...known.values()].map(({ name, value }) => [name, value]));
}

function agree(one: Variable, other: Variable): boolean {
  if (one.derived && other.derived) return false;
  return one.tunnel === other.tunnel || one.value === other.value;
}

function clash(one: Variable, other: Variable): TunnelError {
  if (one.tunnel === other.tunnel)
    return new TunnelError('USAGE', `two forwards of ${one.tunnel} come to the name ${one.name}`, {
      hint: { command: 'show', on: { tunnel: one.tunnel }, note: 'and give one of them another name' },
    });
  const both = `${one.tunnel} and ${other.tunnel} come to one name, ${one.name}`;
  return new TunnelError('USAGE', both, {
    hint: { command: 'env', on: { tunnel: one.tunnel }, note: 'one of them at a time' },
  });
}

function variablesOf({ tunnel, ends }: Reached): readonly Variable[] {
  const of = (name: string, value: string, derived: boolean): Variable => ({
    name,
    value,
    tunnel: tunnel.name,
    derived,
  });
  const several = tunnel.forwards.length > 1;
  const listeners = localListeners(tunnel.forwards);
  const firstUnnamed = listeners.find(({ name }) => name === null);
  const derived = listeners.flatMap((forward, index) => {
    const end = ends[index];
    if (end === undefined || (forward.name === null && forward !== firstUnnamed)) return [];
    const words = several && forward.name !== null ? [tunnel.name, forward.name] : [tunnel.name];
    const prefix = variablePrefix(words.join('_'));
    if (end.kind === 'unix') return [of(`${prefix}_SOCKET`, end.path, true)];
    return [of(`${prefix}_HOST`, end.host, true), of(`${prefix}_PORT`, String(end.port), true)];
  });
  const own = Object.entries(tunnel.env).map(([name, text]) => of(name, filled(text, ends[0]), false));
  return [...derived, ...own];
}

/** In capitals, everything but letters and digits as `_`; a leading digit gets one before it. */
function variablePrefix(name: string): string {
  return name
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '_')
    .replace(/^(?=\d)/, '_');
}

const placeholder = /\{([a-z]+)\}/g;

/** What stands in braces in a text of `env:`; braces around anything but small letters are the text's own. */
export function placeholdersOf(text: string): readonly string[] {
  return Array.from(text.matchAll(placeholder), ([, word = '']) => word);
}

export const knownPlaceholders: readonly string[] = ['host', 'port', 'address'];

/** By the first forward that listens here. */
export function filled(text: string, end: Endpoint | undefined): string {
  if (end === undefined) return text;
  const { host, port } = end.kind === 'tcp' ? end : { host: '', port: '' };
  const values = new Map([
    ['host', host],
    ['port', String(port)],
    ['address', formatEndpoint(end)],
  ]);
  return text.replace(placeholder, (whole, word: string) => values.get(word) ?? whole);
}
