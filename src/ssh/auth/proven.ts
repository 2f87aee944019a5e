// Proven keys: which key or certificate has logged in where, so that it is tried first, and alone after a refusal (SPEC 3).
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { openUpdates } from '../../files/atomic.ts';
import { makeFolders } from '../../files/folders.ts';

export interface Proven {
  /** `login` is user@hostname:port; `credential` a fingerprint, with " certificate" behind it for a certificate. */
  has(login: string, credential: string): boolean;
  /** True when anything at all has logged in there. */
  any(login: string): boolean;
  add(login: string, credential: string): void;
  /** Resolves when everything added so far is on disk, or could not be written. */
  written(): Promise<void>;
}

type Logins = ReadonlyMap<string, readonly string[]>;

/** At most so many a login: certificates are renewed daily in some houses, their keys too. */
const longestList = 20;

/** In memory only: for a library use, tests, and a state folder that cannot be written. */
export function provenInMemory(known: Readonly<Record<string, readonly string[]>> = {}): Proven {
  return keep(new Map(Object.entries(known)), () => Promise.resolve(null));
}

/**
 * Kept in a small JSON file: fingerprints only, 0600. A file that is missing or damaged is an empty one: the worst that
 * follows is that a key is not tried by itself. `failed` hears why it could not be written. Other supervisors write there
 * too: what they have added is known from our next addition on.
 */
export function openProven(file: string, failed: (why: string) => void): Proven {
  const updates = openUpdates(file);
  return keep(load(file), async (login, credential) => {
    let merged: Logins | null = null;
    try {
      makeFolders(dirname(file));
      await updates.update((text) => {
        merged = withProven(parse(text), login, credential);
        return `${JSON.stringify({ version: 1, logins: Object.fromEntries(merged) })}\n`;
      });
    } catch (error) {
      failed(error instanceof Error ? error.message : String(error));
    }
    return merged;
  });
}

/** `save` answers what is on disk then, null where nothing is. */
function keep(known: Logins, save: (login: string, credential: string) => Promise<Logins | null>): Proven {
  let logins = known;
  let saving: Promise<void> = Promise.resolve();
  return {
    has: (login, credential) => logins.get(login)?.includes(credential) ?? false,
    any: (login) => (logins.get(login)?.length ?? 0) > 0,
    add(login, credential) {
      if (logins.get(login)?.[0] === credential) return;
      logins = withProven(logins, login, credential);
      const saved = save(login, credential).then((stored) => {
        if (stored !== null) logins = joined(logins, stored);
      });
      saving = Promise.all([saving, saved]).then(() => undefined);
    },
    written: () => saving,
  };
}

function withProven(logins: Logins, login: string, credential: string): Logins {
  const before = logins.get(login) ?? [];
  const list = [credential, ...before.filter((other) => other !== credential)].slice(0, longestList);
  return new Map([...logins, [login, list]]);
}

/** Ours first: what others have added is older to us. */
function joined(ours: Logins, theirs: Logins): Logins {
  const names = [...new Set([...ours.keys(), ...theirs.keys()])];
  const both = (login: string): Set<string> =>
    new Set([...(ours.get(login) ?? []), ...(theirs.get(login) ?? [])]);
  return new Map(names.map((login) => [login, [...both(login)].slice(0, longestList)]));
}

function load(file: string): Logins {
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch {
    return new Map(); // missing: nothing is proven
  }
}

function parse(text: string): Logins {
  try {
    const document = JSON.parse(text) as { logins?: Record<string, unknown> };
    const lists = Object.entries(document.logins ?? {}).map(
      ([login, list]) =>
        [login, Array.isArray(list) ? list.filter((entry) => typeof entry === 'string') : []] as const,
    );
    return new Map(lists);
  } catch {
    return new Map(); // damaged
  }
}
