// When a key was first seen, last used, or reported gone: a file beside known_hosts, so that known_hosts is never rewritten for it.
import { readFile } from 'node:fs/promises';
import { openUpdates } from '../files/atomic.ts';

/** The record of one key under one name. Times in milliseconds since 1970. */
export interface SeenKey {
  readonly name: string;
  /** Of the key on the known_hosts line: for a certificate that is its CA's. */
  readonly fingerprint: string;
  readonly firstSeenMs: number | null;
  readonly lastUsedMs: number | null;
  /** When the server left it out of the keys it proved; null while it has it. */
  readonly goneMs: number | null;
}

export type SeenChange = (keys: SeenKeys) => void;

/** The records while they are changed. */
export interface SeenKeys {
  all(): readonly SeenKey[];
  set(name: string, fingerprint: string, change: Partial<Omit<SeenKey, 'name' | 'fingerprint'>>): void;
  /** Everything under the name, or one key of it. */
  remove(name: string, fingerprint?: string): void;
}

export interface SeenFile {
  /** Never fails: without a readable file nothing is known. */
  read(): Promise<readonly SeenKey[]>;
  /** Applies a change under a lock; changes that arrive meanwhile are written together. Rejects when it cannot be written. */
  update(change: SeenChange): Promise<void>;
}

export function openSeenFile(path: string): SeenFile {
  const updates = openUpdates(path);
  return {
    read: async () => parseSeen(await readFile(path, 'utf8').catch(() => '')),
    update: (change) =>
      updates.update((text) => {
        const keys = changeableKeys(parseSeen(text));
        change(keys);
        return formatSeen(keys.all());
      }),
  };
}

function changeableKeys(before: readonly SeenKey[]): SeenKeys {
  const keys = new Map(before.map((key) => [`${key.name} ${key.fingerprint}`, key]));
  return {
    all: () => [...keys.values()],
    set(name, fingerprint, change) {
      const id = `${name} ${fingerprint}`;
      const old = keys.get(id) ?? { name, fingerprint, firstSeenMs: null, lastUsedMs: null, goneMs: null };
      keys.set(id, { ...old, ...change });
    },
    remove(name, fingerprint) {
      if (fingerprint !== undefined) return void keys.delete(`${name} ${fingerprint}`);
      for (const [id, key] of keys) if (key.name === name) keys.delete(id);
    },
  };
}

/** Damaged records are dropped: nothing but two columns of a list depends on them. */
function parseSeen(text: string): SeenKey[] {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return []; // absent, or cut short by a crash of the machine
  }
  const { keys } = (document ?? {}) as { keys?: unknown };
  return Array.isArray(keys) ? keys.flatMap((key: unknown) => parseKey(key)) : [];
}

function parseKey(value: unknown): SeenKey[] {
  const { name, fingerprint, firstSeen, lastUsed, gone } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || typeof fingerprint !== 'string') return [];
  return [
    {
      name,
      fingerprint,
      firstSeenMs: parseTime(firstSeen),
      lastUsedMs: parseTime(lastUsed),
      goneMs: parseTime(gone),
    },
  ];
}

function parseTime(value: unknown): number | null {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? null : time;
}

function formatSeen(keys: readonly SeenKey[]): string {
  const rows = keys.map((key) => ({
    name: key.name,
    fingerprint: key.fingerprint,
    firstSeen: formatTime(key.firstSeenMs),
    lastUsed: formatTime(key.lastUsedMs),
    gone: formatTime(key.goneMs),
  }));
  return `${JSON.stringify({ version: 1, keys: rows }, null, 1)}\n`;
}

/** ISO 8601, null for unknown. */
export function formatTime(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString();
}
