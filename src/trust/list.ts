// Known keys as `tunnel hosts list` and `tunnel hosts export` print them (SPEC 4). Pure.
import { cleanText, isVisible } from '../model/clean.ts';
import { formatEntry, matchesHosts, nameWithoutPort, type KnownHostEntry } from './known-hosts.ts';
import { formatTime, type SeenKey } from './seen.ts';

/** One line of a known_hosts file, as `hosts list --json` prints it. */
export interface ListedKey {
  /** As written: hashed names stay hashed. */
  readonly host: string;
  readonly type: string;
  readonly fingerprint: string;
  readonly file: string;
  readonly line: number;
  /** "gone": the server left it out when it last proved its keys; it is still believed. */
  readonly marker: 'revoked' | 'cert-authority' | 'gone' | null;
  readonly firstSeen: string | null;
  readonly lastUsed: string | null;
}

export function listKeys(entries: readonly KnownHostEntry[], seen: readonly SeenKey[]): readonly ListedKey[] {
  const byFingerprint = new Map<string, SeenKey[]>();
  for (const key of seen) {
    byFingerprint.set(key.fingerprint, [...(byFingerprint.get(key.fingerprint) ?? []), key]);
  }
  return entries.map((entry) =>
    listed(
      entry,
      (byFingerprint.get(entry.fingerprint) ?? []).filter((key) => isAbout(entry, key.name)),
    ),
  );
}

function isAbout(entry: KnownHostEntry, name: string): boolean {
  const bare = nameWithoutPort(name);
  return matchesHosts(entry.hosts, name) || (bare !== null && matchesHosts(entry.hosts, bare));
}

function listed(entry: KnownHostEntry, seen: readonly SeenKey[]): ListedKey {
  const gone = entry.marker === null && seen.length > 0 && seen.every((key) => key.goneMs !== null);
  return {
    host: entry.hosts,
    type: entry.type,
    fingerprint: entry.fingerprint,
    file: entry.file,
    line: entry.line,
    marker: gone ? 'gone' : entry.marker,
    firstSeen: formatTime(
      outermost(
        seen.map((key) => key.firstSeenMs),
        Math.min,
      ),
    ),
    lastUsed: formatTime(
      outermost(
        seen.map((key) => key.lastUsedMs),
        Math.max,
      ),
    ),
  };
}

function outermost(times: readonly (number | null)[], pick: (...times: number[]) => number): number | null {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : pick(...known);
}

/** The keys as known_hosts text for another machine, each line once. */
export function exportKeys(entries: readonly KnownHostEntry[]): string {
  // A name that cannot be seen is no host's, and could not be told from another.
  const shown = entries.filter(({ hosts }) => isVisible(hosts));
  const lines = new Set(shown.map((entry) => formatEntry({ ...entry, comment: cleanText(entry.comment) })));
  return [...lines].map((line) => `${line}\n`).join('');
}
