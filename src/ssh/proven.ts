// Proven keys: which key or certificate has logged in where, so that it is tried first, and alone after a refusal (SPEC 3).
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolders } from '../files/make-folders.ts';

export interface Proven {
  /** `login` is user@hostname:port; `credential` a fingerprint, with " certificate" behind it for a certificate. */
  has(login: string, credential: string): boolean;
  /** True when anything at all has logged in there. */
  any(login: string): boolean;
  add(login: string, credential: string): void;
}

/** At most so many a login: certificates are renewed daily in some houses, their keys too. */
const longestList = 20;

/** In memory only: for a library use, tests, and a state folder that cannot be written. */
export function provenInMemory(known: Readonly<Record<string, readonly string[]>> = {}): Proven {
  return keep(new Map(Object.entries(known)), () => undefined);
}

/**
 * Kept in a small JSON file: fingerprints only, 0600. A file that is missing or damaged is an empty one: the worst that
 * follows is that a key is not tried by itself. `failed` hears why it could not be written.
 */
export function openProven(file: string, failed: (why: string) => void): Proven {
  return keep(load(file), (logins) => {
    try {
      makeFolders(dirname(file));
      const beside = `${file}.new`;
      writeFileSync(beside, `${JSON.stringify({ version: 1, logins: Object.fromEntries(logins) })}\n`, {
        mode: 0o600,
      });
      renameSync(beside, file);
    } catch (error) {
      failed(error instanceof Error ? error.message : String(error));
    }
  });
}

function keep(
  logins: Map<string, readonly string[]>,
  save: (logins: ReadonlyMap<string, readonly string[]>) => void,
): Proven {
  return {
    has: (login, credential) => logins.get(login)?.includes(credential) ?? false,
    any: (login) => (logins.get(login)?.length ?? 0) > 0,
    add(login, credential) {
      const before = logins.get(login) ?? [];
      if (before[0] === credential) return;
      logins.set(
        login,
        [credential, ...before.filter((other) => other !== credential)].slice(0, longestList),
      );
      save(logins);
    },
  };
}

function load(file: string): Map<string, readonly string[]> {
  try {
    const document = JSON.parse(readFileSync(file, 'utf8')) as { logins?: Record<string, unknown> };
    const lists = Object.entries(document.logins ?? {}).map(
      ([login, list]) =>
        [login, Array.isArray(list) ? list.filter((entry) => typeof entry === 'string') : []] as const,
    );
    return new Map(lists);
  } catch {
    return new Map(); // missing or damaged: nothing is proven
  }
}
