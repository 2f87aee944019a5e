// tunlite's JSON: tunnels with host, port, jump and forwards of bind, srcPort, destHost, destPort (github.com/yuanyuanzijin/tunlite). Pure.
import { lineOf, listOf, mapOf, nameFrom, textOf } from './found.ts';
import type { Found, FoundTunnel, LeftBehind, Setting, SshForward } from './found.ts';
import { readSshWords } from './ssh-words.ts';

const letters: Readonly<Record<string, SshForward['letter']>> = { local: 'L', remote: 'R', dynamic: 'D' };

export function readTunlite(document: unknown, text: string): Found {
  const left: LeftBehind[] = [];
  const tunnels = listOf(mapOf(document)['tunnels']).flatMap((each): FoundTunnel[] => {
    const entry = mapOf(each);
    const line = lineOf(text, new RegExp(`"name"\\s*:\\s*${escaped(JSON.stringify(entry['name'] ?? ''))}`));
    const host = textOf(entry['host']);
    const forwards = listOf(entry['forwards']).flatMap((forward) => forwardOf(mapOf(forward)) ?? []);
    if (host === null || forwards.length === 0) {
      left.push({ line, reason: `${textOf(entry['name']) ?? 'a tunnel'}: it has no host, or no forward` });
      return [];
    }
    const options = listOf(entry['sshOptions']).flatMap((option) => textOf(option) ?? []);
    const words = options.flatMap((option) =>
      option.startsWith('-') ? option.split(/\s+/) : ['-o', option],
    );
    const { settings, notes, problem } = readSshWords(words);
    for (const reason of problem === null ? notes : [...notes, problem]) left.push({ line, reason });
    const own = settingsOf(entry);
    return [
      { name: nameFrom(textOf(entry['name'])), line, host, forwards, settings: { ...settings, ...own } },
    ];
  });
  return { tunnels, left };
}

function forwardOf(forward: Readonly<Record<string, unknown>>): SshForward | null {
  const letter = letters[textOf(forward['type']) ?? ''];
  const [bind, listens] = [textOf(forward['bind']) ?? '127.0.0.1', textOf(forward['srcPort'])];
  const [host, dials] = [textOf(forward['destHost']) ?? '127.0.0.1', textOf(forward['destPort'])];
  if (letter === undefined || listens === null) return null;
  const at = `${bracketed(bind)}:${listens}`;
  if (letter === 'D') return { letter, spec: at };
  return dials === null ? null : { letter, spec: `${at}:${bracketed(host)}:${dials}` };
}

function settingsOf(entry: Readonly<Record<string, unknown>>): Record<string, Setting> {
  const identity = textOf(entry['identityFile']);
  const jump = listOf(entry['jump']).flatMap((hop) => textOf(hop) ?? []);
  const tags = listOf(entry['tags']).flatMap((tag) => nameFrom(textOf(tag)) ?? []);
  const port = Number(entry['port'] ?? 22);
  return {
    ...(port === 22 ? {} : { port }),
    ...(identity === null ? {} : { identity: [identity], identities_only: false }),
    ...(jump.length === 0 ? {} : { jump }),
    ...(tags.length === 0 ? {} : { tags }),
    ...(entry['enabled'] === false ? { autostart: false } : {}),
  };
}

const bracketed = (host: string): string =>
  host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
const escaped = (text: string): string => text.replaceAll(/[^\w"-]/g, '\\$&');
