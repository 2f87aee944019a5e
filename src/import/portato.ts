// Portato's YAML: `tubers:` with type, local, remote, ssh and jump (github.com/portuber/portato). Pure.
import { withHost } from './boring.ts';
import { lineOf, listOf, mapOf, nameFrom, textOf } from './found.ts';
import type { Found, FoundTunnel, LeftBehind, Setting, SshForward } from './found.ts';

const letters: Readonly<Record<string, SshForward['letter']>> = { local: 'L', remote: 'R', dynamic: 'D' };
const known = new Set('name type local remote ssh identity jump tags enabled'.split(' '));

export function readPortato(document: unknown, text: string): Found {
  const left: LeftBehind[] = [];
  const defaults = mapOf(mapOf(document)['defaults']);
  const tunnels = listOf(mapOf(document)['tubers']).flatMap((each): FoundTunnel[] => {
    const entry = mapOf(each);
    const line = lineOf(
      text,
      new RegExp(`\\bname:\\s*["']?${escaped(textOf(entry['name']) ?? '')}["']?\\s*(#.*)?$`),
    );
    for (const key of Object.keys(entry).filter((name) => !known.has(name)))
      left.push({ line, reason: `${key} is not carried over` });
    const letter = letters[textOf(entry['type']) ?? 'local'];
    const [host, local, remote] = [textOf(entry['ssh']), textOf(entry['local']), textOf(entry['remote'])];
    if (letter === undefined || host === null || local === null || (letter !== 'D' && remote === null)) {
      left.push({
        line,
        reason: `${textOf(entry['name']) ?? 'a tuber'}: it lacks type, ssh, local or remote`,
      });
      return [];
    }
    const spec =
      letter === 'D'
        ? local
        : letter === 'L'
          ? `${local}:${remote}`
          : `${everywhere(remote)}:${withHost(local)}`;
    const name = nameFrom(textOf(entry['name']));
    return [{ name, line, host, forwards: [{ letter, spec }], settings: settingsOf(entry, defaults) }];
  });
  if (defaults['known_hosts'] !== undefined)
    left.push({
      line: lineOf(text, /^\s+known_hosts:/),
      reason: 'known_hosts is left out: ~/.ssh/known_hosts is read as it is',
    });
  return { tunnels, left };
}

function settingsOf(
  entry: Readonly<Record<string, unknown>>,
  defaults: Readonly<Record<string, unknown>>,
): Record<string, Setting> {
  const identity = textOf(entry['identity']) ?? textOf(defaults['identity']);
  const jump = textOf(entry['jump']);
  const tags = listOf(entry['tags']).flatMap((tag) => nameFrom(textOf(tag)) ?? []);
  return {
    ...(identity === null ? {} : { identity: [identity], identities_only: false }),
    ...(jump === null ? {} : { jump: jump.split(',').map((hop) => hop.trim()) }),
    ...(tags.length === 0 ? {} : { tags }),
    ...(defaults['accept_new_hosts'] === true ? { host_keys: 'accept-new' } : {}),
    ...(entry['enabled'] === true ? {} : { autostart: false }),
  };
}

/** A bare port of a remote tuber listens on every interface of the server. */
const everywhere = (address: string | null): string => (address ?? '').replace(/^:?(?=\d+$)/, '*:');

const escaped = (text: string): string => text.replaceAll(/[^\w-]/g, '\\$&');
