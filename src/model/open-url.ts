// `open:` of a tunnel: a URL with {host} {port} {address} of where it is reached. Only of kinds that no program runs code from. Pure.
import type { Endpoint } from './endpoint.ts';
import { filled } from './tunnel-variables.ts';

const kinds: ReadonlySet<string> = new Set([
  'http:',
  'https:',
  'vnc:',
  'rdp:',
  'ssh:',
  'postgres:',
  'mysql:',
  'redis:',
]);

/** The URL, or null where it is none of those kinds. */
export function openable(template: string, end: Endpoint): string | null {
  const url = filled(template, end);
  return URL.canParse(url) && kinds.has(new URL(url).protocol) ? url : null;
}
