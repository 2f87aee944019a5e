// Which server each keychain entry was set for: a file an entry in the state folder, with no secret in it. A changed config must not lure a password to another server.
import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../files/atomic.ts';
import { TunnelError } from '../errors.ts';
import { makeFolders } from '../files/folders.ts';
import type { SecretKind } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';

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
