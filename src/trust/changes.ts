// Deliberate changes of trust: `trust --replace`, `hosts forget`, and the rotation a server proves (SPEC 5).
import { TunnelError } from '../errors.ts';
import { shellWord } from '../model/shell-word.ts';
import {
  entriesUnder,
  withKey,
  withoutName,
  matchesHosts,
  namesExactly,
  parseKnownHosts,
  type KnownHostEntry,
  type Place,
} from './known-hosts.ts';
import { provableKeyTypes } from '../keys/algorithms.ts';
import { fingerprint } from '../keys/fingerprint.ts';
import type { SeenKeys } from './seen.ts';
import { checkName, type TrustStore } from './store.ts';
import { judge, revokes } from './verdict.ts';
import { keyType, keyWeakness } from '../keys/public-key.ts';

/** A host's name in our store, as it is changed. */
export interface StoredName {
  readonly store: TrustStore;
  readonly name: string;
  /** Other known_hosts files that count for the host, read only. */
  readonly foreignFiles: readonly string[];
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** A line in a file that is not ours, and what to do about it. */
export interface ForeignLine extends Place {
  readonly hosts: string;
  readonly type: string;
  readonly fingerprint: string;
  /** `ssh-keygen -R …`; null where that cannot remove it (a pattern, or a CA): the line is edited by hand. */
  readonly command: string | null;
}

export interface Replaced {
  readonly at: Place;
  /** Keys that were believed until now and are revoked from now on. */
  readonly revoked: readonly { readonly type: string; readonly fingerprint: string }[];
  /** Lines in other files that still hold them; our @revoked lines overrule these here, but not for ssh. */
  readonly foreign: readonly ForeignLine[];
}

/**
 * The new key takes the place of every key known under the name; those are marked as revoked in our store.
 * Throws HOST_KEY_REVOKED when the new key is revoked anywhere but by an earlier replacement of ours.
 */
export async function replaceKey(
  { store, name, foreignFiles, nowMs }: StoredName,
  key: Buffer,
): Promise<Replaced> {
  checkName(name);
  const weakness = keyWeakness(key);
  if (weakness !== null)
    throw new TunnelError('HOST_KEY_UNKNOWN', `host key not stored, on ${name}: ${weakness}`);
  const replaced = await store.edit(foreignFiles, (before, foreign) => {
    const isOld = (entry: KnownHostEntry): boolean => entry.marker === null && !entry.key.equals(key);
    const own = entriesUnder(before, store.file, name);
    const elsewhere = foreign.filter((entry) => matchesHosts(entry.hosts, name));
    const old = [...own, ...elsewhere].filter(isOld);
    const cleared = withoutName(before, name, (entry) => isOld(entry) || revokes(entry, key));
    refuseRevoked([...parseKnownHosts(cleared.text, store.file).entries, ...foreign], name, key);
    const stored = withKey(cleared.text, name, key);
    const text = old.reduce((soFar, entry) => withKey(soFar, name, entry.key, 'revoked').text, stored.text);
    const result = {
      at: { file: store.file, line: stored.line },
      revoked: distinct(old),
      foreign: elsewhere.filter(isOld).map((entry) => foreignLine(entry, name)),
    };
    return { text, result };
  });
  await remember(store, (keys) => {
    keys.remove(name);
    keys.set(name, fingerprint(key), { firstSeenMs: nowMs });
  });
  return replaced;
}

function refuseRevoked(entries: readonly KnownHostEntry[], name: string, key: Buffer): void {
  const revoking = entries.find((entry) => revokes(entry, key) && matchesHosts(entry.hosts, name));
  if (revoking === undefined) return;
  throw new TunnelError(
    'HOST_KEY_REVOKED',
    `host key not stored, on ${name}: ${fingerprint(key)} is revoked at ${revoking.file}:${revoking.line}`,
    { hint: 'ask whoever runs the server: a revoked key is one that somebody else may hold' },
  );
}

export interface Forgotten {
  readonly removed: readonly { readonly type: string; readonly fingerprint: string }[];
  /** Lines of our store that stay: patterns, revocations and certificate authorities. */
  readonly kept: readonly KnownHostEntry[];
  /** Lines in other files by which the host is still trusted. */
  readonly foreign: readonly ForeignLine[];
}

/**
 * Takes the name out of our store. Like ssh-keygen -R it leaves revocations: a compromised key stays refused. Or
 * takes out the revocations, and leaves the keys. `name` may also be a first field as `hosts list` prints it (a hashed
 * one, for instance).
 */
export async function forgetHost(
  store: TrustStore,
  written: string,
  foreignFiles: readonly string[],
  what: 'keys' | 'revocations' = 'keys',
): Promise<Forgotten> {
  const marker = what === 'keys' ? null : 'revoked';
  const name = written.startsWith('|') ? written : written.toLowerCase();
  const forgotten = await store.edit(foreignFiles, (before, foreign) => {
    const { text, removed } = withoutName(before, name, (entry) => entry.marker === marker);
    const result = {
      removed: distinct(removed),
      kept: entriesUnder(text, store.file, name),
      foreign: foreign
        .filter((entry) => (entry.marker === 'revoked') === (what === 'revocations'))
        .filter((entry) => entry.hosts === name || matchesHosts(entry.hosts, name))
        .map((entry) => foreignLine(entry, name)),
    };
    return { text, result };
  });
  if (what === 'keys' && forgotten.removed.length > 0) await remember(store, (keys) => keys.remove(name));
  return forgotten;
}

export interface Rotation {
  /** Keys that are believed from now on. */
  readonly added: readonly { readonly type: string; readonly fingerprint: string }[];
  /** Keys that are marked as gone from now on; still believed. */
  readonly gone: readonly { readonly type: string; readonly fingerprint: string }[];
}

/**
 * Records the keys a server has proved after its login (UpdateHostKeys in ssh_config(5)). Only when the key it
 * presented stood under this very name: a CA, a pattern or a changed file says nothing about the host itself.
 */
export async function recordRotation(
  about: StoredName,
  keys: { readonly presented: Buffer; readonly proved: readonly Buffer[] },
): Promise<Rotation> {
  const { store, name, foreignFiles } = about;
  checkName(name);
  const all = [keys.presented, ...keys.proved];
  const known = await store.read(foreignFiles);
  const verdict = judge(known.entries, name, keys.presented);
  if (verdict.kind !== 'trusted' || !verdict.exact) return { added: [], gone: [] };
  const standing = known.entries.filter((entry) => entry.marker === null && namesExactly(entry.hosts, name));
  const isUsable = (key: Buffer): boolean => {
    const { kind } = judge(known.entries, name, key);
    return kind !== 'revoked' && kind !== 'unusable';
  };
  const fresh = keys.proved.filter(
    (key) => isUsable(key) && !standing.some((entry) => entry.key.equals(key)),
  );
  // A key of a type that cannot be proved to us is not gone for being left out.
  const missing = standing.filter(
    (entry) => provableKeyTypes.includes(entry.type) && !all.some((key) => key.equals(entry.key)),
  );
  const spare = await oldestFirst(
    store,
    name,
    missing.filter(({ file }) => file === store.file),
  );
  const { added, dropped } = await addAll(about, fresh, spare);
  const prints = { present: all.map(fingerprint), added: added.map((key) => key.fingerprint), dropped };
  const left = missing.filter((entry) => !dropped.includes(entry.fingerprint));
  const gone = await markGone(about, prints, left);
  return { added, gone };
}

/**
 * So many keys of ours one name may come to have: a server that proves new ones at every login must not fill the store.
 * Those it no longer has make room, the longest gone first; without any, what it proves besides is not taken.
 */
const mostKeys = 16;

/** Longest gone first; those that are gone only now come last, as they stand in the file. */
async function oldestFirst(
  store: TrustStore,
  name: string,
  gone: readonly KnownHostEntry[],
): Promise<readonly KnownHostEntry[]> {
  const marked = new Map(
    (await store.seen.read()).filter((key) => key.name === name).map((key) => [key.fingerprint, key.goneMs]),
  );
  const since = (entry: KnownHostEntry): number => marked.get(entry.fingerprint) ?? Number.MAX_SAFE_INTEGER;
  return gone.toSorted((one, other) => since(one) - since(other) || one.line - other.line);
}

async function addAll(
  { store, name, foreignFiles }: StoredName,
  fresh: readonly Buffer[],
  spare: readonly KnownHostEntry[],
): Promise<{ added: Rotation['added']; dropped: readonly string[] }> {
  if (fresh.length === 0) return { added: [], dropped: [] };
  return store.edit(foreignFiles, (before) => {
    const own = entriesUnder(before, store.file, name).filter(
      ({ marker, hosts }) => marker === null && namesExactly(hosts, name),
    );
    const taken = fresh.slice(0, Math.max(0, mostKeys - own.length + spare.length));
    const drop = spare.slice(0, Math.max(0, own.length + taken.length - mostKeys));
    const isDropped = ({ marker, key }: KnownHostEntry): boolean =>
      marker === null && drop.some((entry) => entry.key.equals(key));
    let { text } = withoutName(before, name, isDropped);
    const added: { type: string; fingerprint: string }[] = [];
    for (const key of taken) {
      const appended = withKey(text, name, key);
      text = appended.text;
      if (appended.added) added.push({ type: keyType(key), fingerprint: fingerprint(key) });
    }
    return { text, result: { added, dropped: drop.map((entry) => entry.fingerprint) } };
  });
}

/** Answers what was not marked before. */
async function markGone(
  { store, name, nowMs }: StoredName,
  { present, added, dropped }: Readonly<Record<'present' | 'added' | 'dropped', readonly string[]>>,
  missing: readonly KnownHostEntry[],
): Promise<Rotation['gone']> {
  const before = await store.seen.read();
  const marked = new Set(
    before.filter((key) => key.name === name && key.goneMs !== null).map((key) => key.fingerprint),
  );
  await remember(store, (keys) => {
    for (const key of dropped) keys.remove(name, key);
    const known = new Set(keys.all().flatMap((key) => (key.name === name ? [key.fingerprint] : [])));
    for (const key of present) if (known.has(key)) keys.set(name, key, { goneMs: null });
    for (const key of added) keys.set(name, key, { goneMs: null, firstSeenMs: nowMs });
    for (const entry of missing) {
      if (!marked.has(entry.fingerprint)) keys.set(name, entry.fingerprint, { goneMs: nowMs });
    }
  });
  return distinct(missing.filter((entry) => !marked.has(entry.fingerprint)));
}

/** The record beside the store is a convenience: what it cannot take is not worth failing for. */
async function remember(store: TrustStore, change: (keys: SeenKeys) => void): Promise<void> {
  await store.seen.update(change).catch(() => undefined);
}

function distinct(
  entries: readonly KnownHostEntry[],
): { readonly type: string; readonly fingerprint: string }[] {
  const byFingerprint = new Map(entries.map((entry) => [entry.fingerprint, entry]));
  return [...byFingerprint.values()].map(({ type, fingerprint: print }) => ({ type, fingerprint: print }));
}

function foreignLine(entry: KnownHostEntry, name: string): ForeignLine {
  const { file, line, hosts, type } = entry;
  const removable = entry.marker === null && namesExactly(hosts, name) && !/[*?!]/.test(hosts);
  const command = removable ? `ssh-keygen -R ${shellWord(name)} -f ${shellWord(file)}` : null;
  return { file, line, hosts, type, fingerprint: entry.fingerprint, command };
}
