// Changes to our own known_hosts, as text to text: every line that a change is not about stays as it is, comments too. Pure.
import {
  formatEntry,
  matchesHosts,
  namesExactly,
  parseKnownHosts,
  type KnownHostEntry,
  type Marker,
} from './known-hosts.ts';

export interface Appended {
  readonly text: string;
  /** Line the key stands on, from 1. */
  readonly line: number;
  /** False: it stood there before. */
  readonly added: boolean;
}

/** Adds a line for the key under exactly this name, unless there is one. */
export function withKey(text: string, name: string, key: Buffer, marker: Marker | null = null): Appended {
  const present = entriesOf(text).find(
    (entry) => entry.marker === marker && entry.key.equals(key) && namesExactly(entry.hosts, name),
  );
  if (present !== undefined) return { text, line: present.line, added: false };
  const whole = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  const line = whole.split('\n').length;
  return { text: `${whole}${formatEntry({ marker, hosts: name, key })}\n`, line, added: true };
}

export interface Removed {
  readonly text: string;
  /** Entries that no longer name the host. */
  readonly removed: readonly KnownHostEntry[];
}

/**
 * Takes the name out of the lines that `which` picks: a line with further names keeps those. Lines that mean the name
 * by a pattern only are left alone, for they speak of other hosts too.
 */
export function withoutName(text: string, name: string, which: (entry: KnownHostEntry) => boolean): Removed {
  const lines = text.split('\n');
  const removed: KnownHostEntry[] = [];
  const kept = new Map<number, string | null>();
  for (const entry of entriesOf(text)) {
    const rest = hostsWithout(entry.hosts, name);
    if (rest === undefined || !which(entry)) continue;
    removed.push(entry);
    kept.set(entry.line, rest === '' ? null : formatEntry({ ...entry, hosts: rest }));
  }
  const changed = lines.flatMap((line, index) => {
    const replacement = kept.get(index + 1);
    if (replacement === undefined) return [line];
    return replacement === null ? [] : [replacement];
  });
  return { text: changed.join('\n'), removed };
}

/** What is left of a first field without the name: '' for nothing, undefined when it does not name it. */
function hostsWithout(hosts: string, name: string): string | undefined {
  if (hosts === name) return '';
  if (!namesExactly(hosts, name)) return undefined;
  if (hosts.startsWith('|')) return '';
  const rest = hosts.split(',').filter((host) => host.toLowerCase() !== name.toLowerCase());
  return rest.some((host) => !host.startsWith('!')) ? rest.join(',') : '';
}

/** Entries of a text that stand under the name, by itself or by a pattern. */
export function entriesUnder(text: string, file: string, name: string): readonly KnownHostEntry[] {
  return parseKnownHosts(text, file).entries.filter(
    (entry) => entry.hosts === name || matchesHosts(entry.hosts, name),
  );
}

function entriesOf(text: string): readonly KnownHostEntry[] {
  return parseKnownHosts(text, '').entries;
}

/** Why a name cannot be written into known_hosts as itself; null when it can. */
export function unwritableName(name: string): string | null {
  if (name === '') return 'it is empty';
  // oxlint-disable-next-line no-control-regex -- exactly these must not get into the file
  if (/[\s\u0000-\u001f\u007f]/.test(name)) return 'it holds a space or a control character';
  if (/[*?,]/.test(name)) return 'it would be read as a pattern';
  return /^[!|#@]/.test(name) ? 'its first character has a meaning of its own in known_hosts' : null;
}
