// Remembered secrets: what a person typed, and keys opened with it, in memory until `down` or until refused. Codes never.
import type { KeyObject } from 'node:crypto';
import { formatLogin, type Host } from '../../model/host.ts';
import { formatSecretRef, type Secret } from '../../model/secret.ts';

export interface Remembered {
  password(host: Host): Secret | null;
  keepPassword(host: Host, password: Secret): void;
  dropPassword(host: Host): void;
  passphrase(path: string): Secret | null;
  keepPassphrase(host: Host, path: string, passphrase: Secret): void;
  dropPassphrase(path: string): void;
  /** A key that was opened before, as long as its file (`stamp`) is the same. */
  opened(path: string, stamp: string): KeyObject | null;
  keepOpened(host: Host, path: string, stamp: string, key: KeyObject): void;
  /** One at a time for each `name`: two links that need one answer ask for it once. `behind`: somebody is at it. */
  inTurn<T>(name: string, task: () => Promise<T>, behind?: () => void): Promise<T>;
  /** Forgets all that was typed for none of these hosts, as they are now. */
  forgetAllBut(hosts: readonly Host[]): void;
}

/** What belongs to a key file, and the logins that use it: it goes with the last of them. */
interface FileSecrets {
  passphrase: Secret | null;
  opened: { stamp: string; key: KeyObject } | null;
  readonly logins: Set<string>;
}

const passwordName = (host: Host): string =>
  `${formatLogin(host)} ${host.password === null ? '' : formatSecretRef(host.password)}`;

/** An identity may be named by its public half. */
const keyOf = (path: string): string => path.replace(/\.pub$/, '');

export function createRemembered(): Remembered {
  const passwords = new Map<string, Secret>();
  const files = new Map<string, FileSecrets>();
  const turns = new Map<string, Promise<unknown>>();
  const fileOf = (host: Host, path: string): FileSecrets => {
    const found = files.get(path) ?? { passphrase: null, opened: null, logins: new Set<string>() };
    files.set(path, found);
    found.logins.add(formatLogin(host));
    return found;
  };
  return {
    password: (host) => passwords.get(passwordName(host)) ?? null,
    keepPassword: (host, password) => void passwords.set(passwordName(host), password),
    dropPassword: (host) => void passwords.delete(passwordName(host)),
    passphrase: (path) => files.get(path)?.passphrase ?? null,
    keepPassphrase(host, path, passphrase) {
      fileOf(host, path).passphrase = passphrase;
    },
    dropPassphrase(path) {
      const found = files.get(path);
      if (found !== undefined) found.passphrase = null;
    },
    opened(path, stamp) {
      const found = files.get(path)?.opened ?? null;
      return found !== null && found.stamp === stamp ? found.key : null;
    },
    keepOpened(host, path, stamp, key) {
      fileOf(host, path).opened = { stamp, key };
    },
    async inTurn(name, task, behind) {
      if (turns.has(name)) behind?.();
      const before = turns.get(name) ?? Promise.resolve();
      const mine = before.then(task, task);
      const settled = mine.catch(() => undefined);
      turns.set(name, settled);
      try {
        return await mine;
      } finally {
        if (turns.get(name) === settled) turns.delete(name);
      }
    },
    forgetAllBut(hosts) {
      if (passwords.size === 0 && files.size === 0) return;
      const names = new Set(hosts.map(passwordName));
      for (const name of passwords.keys()) if (!names.has(name)) passwords.delete(name);
      const uses = new Set(
        hosts.flatMap((host) => host.identities.map((path) => `${formatLogin(host)} ${keyOf(path)}`)),
      );
      for (const [path, { logins }] of files) {
        for (const login of logins) if (!uses.has(`${login} ${keyOf(path)}`)) logins.delete(login);
        if (logins.size === 0) files.delete(path);
      }
    },
  };
}
