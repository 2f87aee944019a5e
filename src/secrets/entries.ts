// Keychain entries of ours, each with the server it was set for, which a file in the state folder tells: a changed config must not lure a password to another server.
import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TunnelError } from '../errors.ts';
import { replaceFile } from '../files/atomic.ts';
import { makeFolders } from '../files/folders.ts';
import type { Secret, SecretKind } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';
import type { Keychain, KeychainCall } from './keychain.ts';

export interface EntryName {
  /** A host's name, or the absolute path of a key file. */
  readonly name: string;
  readonly kind: SecretKind;
  /** user@hostname:port it is for; null for a key file. */
  readonly endpoint: string | null;
}

export interface SecretEntries {
  /**
   * The secret of an entry. Throws SECRET_MISSING when there is none, when it was set for another server, or, with
   * `onlyOurs` (a project file), when another tool made it.
   */
  read(entry: EntryName, options: { readonly onlyOurs: boolean } & KeychainCall): Promise<Secret>;
  write(entry: EntryName, value: Secret, call?: KeychainCall): Promise<void>;
  /** False when there was none. */
  remove(name: string, kind: SecretKind, call?: KeychainCall): Promise<boolean>;
}

/** NAME:KIND, the account an entry has in the keychain under the service `tunnel`. */
export function accountOf(name: string, kind: SecretKind): string {
  return `${name}:${kind}`;
}

export function createEntries(keychain: Keychain, bindings: Bindings): SecretEntries {
  return {
    async read(entry, { onlyOurs, ...call }) {
      const account = accountOf(entry.name, entry.kind);
      const binding = await bindings.find(entry.name, entry.kind);
      if (binding === null && onlyOurs)
        throw missing(entry, 'tunnel did not set it, and this config is a project file');
      if (binding !== null && !isSame(binding.endpoint, entry.endpoint))
        throw missing(entry, `it was set for ${binding.endpoint ?? 'a key file'}, not for ${entry.endpoint}`);
      const secret = await keychain.get(account, call);
      if (secret === null) throw missing(entry, 'the keychain has no such entry');
      return secret;
    },
    async write(entry, value, call) {
      const before = await bindings.find(entry.name, entry.kind).catch(() => null); // a damaged one is replaced
      // The binding first: a crash in between must not leave an entry that counts as anybody's.
      await bindings.save(entry);
      try {
        await keychain.set(accountOf(entry.name, entry.kind), value, call);
      } catch (thrown) {
        await (before === null ? bindings.remove(entry.name, entry.kind) : bindings.save(before));
        throw thrown;
      }
    },
    async remove(name, kind, call) {
      const deleted = await keychain.delete(accountOf(name, kind), call);
      await bindings.remove(name, kind);
      return deleted;
    },
  };
}

/** Host names are the same in any case; users are not. */
function isSame(bound: string | null, wanted: string | null): boolean {
  const normal = (endpoint: string | null): string | null => {
    if (endpoint === null) return null;
    const at = endpoint.lastIndexOf('@');
    return `${endpoint.slice(0, at)}@${endpoint.slice(at + 1).toLowerCase()}`;
  };
  return normal(bound) === normal(wanted);
}

function missing(entry: EntryName, why: string): TunnelError {
  const { name, kind, endpoint } = entry;
  const forWhom = endpoint === null ? name : `${name} (${endpoint})`;
  return new TunnelError('SECRET_MISSING', `no ${kind} in the keychain, for ${forWhom}: ${why}`, {
    hint: { command: 'secret set', on: { words: [name] }, ...(kind === 'password' ? {} : { flags: kind }) },
    facts: { source: 'keychain', name, kind },
  });
}

export interface Binding {
  /** A host's name, or the absolute path of a key file. */
  readonly name: string;
  readonly kind: SecretKind;
  /** user@hostname:port; null for a key file, whose passphrase goes nowhere. */
  readonly endpoint: string | null;
}

export interface Bindings {
  /** Null when the entry was not made by us. Throws SECRET_MISSING when the record cannot be read. */
  find(name: string, kind: SecretKind): Promise<Binding | null>;
  save(binding: Binding): Promise<void>;
  remove(name: string, kind: SecretKind): Promise<void>;
  list(): Promise<readonly Binding[]>;
}

export function bindingsFolder(stateDir: string): string {
  return join(stateDir, 'secrets');
}

/** `folder`: see `bindingsFolder`. One file an entry, so that two commands at once need no lock. */
export function createBindings(folder: string): Bindings {
  const fileOf = (name: string, kind: SecretKind): string =>
    join(folder, `${createHash('sha256').update(`${name}:${kind}`).digest('hex').slice(0, 32)}.json`);
  return {
    find: (name, kind) => readBinding(fileOf(name, kind)),
    async save({ name, kind, endpoint }) {
      makeFolders(folder);
      const text = `${JSON.stringify({ name, kind, endpoint })}\n`;
      await replaceFile(fileOf(name, kind), text);
    },
    remove: (name, kind) => rm(fileOf(name, kind), { force: true }),
    async list() {
      const files = await readdir(folder).catch((thrown: NodeJS.ErrnoException) => {
        if (thrown.code === 'ENOENT') return [];
        throw unreadable(folder, thrown);
      });
      const records = files.filter((file) => file.endsWith('.json')).sort();
      const found = await Promise.all(records.map((file) => readBinding(join(folder, file))));
      return found
        .filter((binding) => binding !== null)
        .sort((a, b) => `${a.name}:${a.kind}`.localeCompare(`${b.name}:${b.kind}`, 'en'));
    },
  };
}

async function readBinding(file: string): Promise<Binding | null> {
  try {
    return parseBinding(await readFile(file, 'utf8'), file);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown instanceof TunnelError ? thrown : unreadable(file, thrown);
  }
}

/** A record that cannot be understood must not count as none: that would loosen the binding. */
function parseBinding(text: string, file: string): Binding {
  let value: Partial<Binding> | null = null;
  try {
    value = JSON.parse(text) as Partial<Binding> | null;
  } catch {
    // judged below, like anything else that is no record
  }
  const { name, kind, endpoint } = value ?? {};
  const isKind = kind === 'password' || kind === 'passphrase' || kind === 'totp';
  if (typeof name === 'string' && isKind && (typeof endpoint === 'string' || endpoint === null))
    return { name, kind, endpoint };
  throw unreadable(file, new Error('it is damaged'));
}

function unreadable(path: string, thrown: unknown): TunnelError {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new TunnelError(
    'SECRET_MISSING',
    `cannot read what a keychain entry belongs to, on ${path}: ${why}`,
    {
      hint: [`rm ${shellWord(path)}    # then `, { command: 'secret set' }],
      cause: thrown,
    },
  );
}
