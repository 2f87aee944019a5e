// ssh's own spelling of a forward: "L [bind:]port:host:port", "R …", "D [bind:]port" (ssh(1), -L -R -D). Pure.
import { tcp, type Endpoint } from '../model/endpoint.ts';
import { port, text, wrong, type Parsed } from './value.ts';

export interface SpelledForward {
  readonly spelled: true;
  readonly type: 'local' | 'remote' | 'dynamic';
  readonly local?: Endpoint;
  readonly remote?: Endpoint;
}

const forms =
  'must be a map, or ssh\'s spelling: "L [bind:]port:host:port", "R [bind:]port:host:port" or "D [bind:]port"';

/** One `forwards:` item that is a text. `R [bind:]port` alone is a SOCKS server on the far side. */
export function spelledForward(value: unknown): Parsed<SpelledForward> {
  const read = text(value);
  if ('problem' in read) return wrong(forms);
  const match = /^-?([LRD])\s*(\S+)$/.exec(read.value.trim());
  const parts = match === null ? null : splitColons(match[2] ?? '');
  if (match === null || parts === null) return wrong(forms);
  const zero = match[1] === 'R';
  const listen = takeListen(parts, zero);
  if ('problem' in listen) return listen;
  const rest = parts.slice(listen.value.used);
  if (match[1] === 'D')
    return rest.length === 0
      ? { value: { spelled: true, type: 'dynamic', local: listen.value.endpoint } }
      : wrong('must be "D [bind:]port"');
  if (rest.length === 0 && match[1] === 'R')
    return { value: { spelled: true, type: 'remote', remote: listen.value.endpoint } };
  const dialled = takeTarget(rest);
  if ('problem' in dialled) return dialled;
  return match[1] === 'L'
    ? { value: { spelled: true, type: 'local', local: listen.value.endpoint, remote: dialled.value } }
    : { value: { spelled: true, type: 'remote', remote: listen.value.endpoint, local: dialled.value } };
}

/** Cuts at colons outside brackets; brackets are taken off. Null when they do not pair. */
function splitColons(written: string): string[] | null {
  const parts: string[] = [];
  const pattern = /(?:\[([^\]]*)\]|([^:[\]]*))(:|$)/y;
  while (pattern.lastIndex <= written.length) {
    const match = pattern.exec(written);
    if (match === null) return null;
    parts.push(match[1] ?? match[2] ?? '');
    if (match[3] === '') return parts;
  }
  return parts;
}

interface Taken {
  readonly endpoint: Endpoint;
  readonly used: number;
}

/** The listening side: a socket path, a port, or bind and port. An empty or `*` bind is every interface, as in ssh. */
function takeListen(parts: readonly string[], zero: boolean): Parsed<Taken> {
  const [first = '', second = ''] = parts;
  if (first.startsWith('/')) return { value: { endpoint: { kind: 'unix', path: first }, used: 1 } };
  const bare = /^\d+$/.test(first);
  const written = bare ? first : second;
  if (!/^\d+$/.test(written)) return wrong(forms);
  const number = zero && written === '0' ? { value: 0 } : port(written);
  if ('problem' in number) return wrong(`has a port that ${number.problem}`);
  const bind = bare ? '127.0.0.1' : first === '' ? '*' : first;
  return { value: { endpoint: tcp(bind, number.value), used: bare ? 1 : 2 } };
}

function takeTarget(parts: readonly string[]): Parsed<Endpoint> {
  const [first = '', second = ''] = parts;
  if (parts.length === 1 && first.startsWith('/')) return { value: { kind: 'unix', path: first } };
  if (parts.length !== 2 || first === '') return wrong(forms);
  const number = port(second);
  if ('problem' in number) return wrong(`has a port that ${number.problem}`);
  return { value: tcp(first, number.value) };
}
