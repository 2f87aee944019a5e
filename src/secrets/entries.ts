// Keychain entries of ours: an entry and the server it is bound to, set, read and deleted together (SPEC 4, `tunnel secret`).
import { TunnelError } from '../errors.ts';
import type { Secret, SecretKind } from '../model/secret.ts';
import type { Bindings } from './bindings.ts';
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
