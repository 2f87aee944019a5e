// What is kept between logins: typed secrets and opened keys in memory; proven keys and spent one-time codes on disk.
import { createHash, type KeyObject } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TunnelError } from '../../errors.ts';
import { openUpdates } from '../../files/atomic.ts';
import { makeFolders } from '../../files/folders.ts';
import type { TypedSecrets } from '../../model/handover.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import { formatSecretRef, type Secret } from '../../model/secret.ts';
import type { TotpParameters } from '../../secrets/totp.ts';
import { IssuedCertificates } from './issued-certificate.ts';
import type { Notes } from './refusals.ts';

/** What belongs to a key file, and the logins that use it: it goes with the last of them. */
interface FileSecrets {
  passphrase: Secret | null;
  opened: { stamp: string; key: KeyObject } | null;
  readonly logins: Set<string>;
}

/** How the last login to a host failed. */
export interface Failure {
  readonly error: TunnelError;
  readonly notes: Notes;
}

/** What a login is remembered by, for the one that follows a loss of its link. */
export interface LastLogin {
  readonly refused: ReadonlySet<string>;
  /** What the server said it takes, in answer to the first request; null when it never did. */
  readonly methods: readonly string[] | null;
}

/** What the logins of one process have in common: in memory until `down`, or until refused. Codes never. */
export class Remembered {
  readonly issued = new IssuedCertificates();
  readonly #passwords = new Map<string, Secret>();
  readonly #files = new Map<string, FileSecrets>();
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #failures = new Map<string, Failure>();
  readonly #logins = new Map<string, LastLogin>();

  password(host: Host): Secret | null {
    return this.#passwords.get(passwordName(host)) ?? null;
  }

  keepPassword(host: Host, password: Secret): void {
    this.#passwords.set(passwordName(host), password);
  }

  dropPassword(host: Host): void {
    this.#passwords.delete(passwordName(host));
  }

  passphrase(path: string): Secret | null {
    return this.#files.get(path)?.passphrase ?? null;
  }

  keepPassphrase(host: Host, path: string, passphrase: Secret): void {
    this.#fileOf(host, path).passphrase = passphrase;
  }

  dropPassphrase(path: string): void {
    const found = this.#files.get(path);
    if (found !== undefined) found.passphrase = null;
  }

  /** A key that was opened before, as long as its file (`stamp`) is the same. */
  opened(path: string, stamp: string): KeyObject | null {
    const found = this.#files.get(path)?.opened ?? null;
    return found !== null && found.stamp === stamp ? found.key : null;
  }

  keepOpened(host: Host, path: string, stamp: string, key: KeyObject): void {
    this.#fileOf(host, path).opened = { stamp, key };
  }

  /** The last failure, if no login has succeeded since. */
  failure(host: Host): Failure | null {
    return this.#failures.get(nameOf(host)) ?? null;
  }

  keepFailure(host: Host, failure: Failure): void {
    this.#failures.set(nameOf(host), failure);
  }

  dropFailure(host: Host): void {
    this.#failures.delete(nameOf(host));
  }

  /** The last login, when it needed a credential and nothing has gone wrong since. */
  lastLogin(host: Host): LastLogin | null {
    return this.#logins.get(nameOf(host)) ?? null;
  }

  keepLogin(host: Host, login: LastLogin): void {
    this.#logins.set(nameOf(host), login);
  }

  dropLogin(host: Host): void {
    this.#logins.delete(nameOf(host));
  }

  /** One at a time for each `name`: two links that need one answer ask for it once. `behind`: somebody is at it. */
  async inTurn<T>(name: string, task: () => Promise<T>, behind?: () => void): Promise<T> {
    if (this.#turns.has(name)) behind?.();
    const before = this.#turns.get(name) ?? Promise.resolve();
    const mine = before.then(task, task);
    const settled = mine.catch(() => undefined);
    this.#turns.set(name, settled);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(name) === settled) this.#turns.delete(name);
    }
  }

  /** Forgets all that belongs to none of these hosts, as they are now. */
  forgetAllBut(hosts: readonly Host[]): void {
    keepNames(this.#passwords, hosts, passwordName);
    keepNames(this.#failures, hosts, nameOf);
    keepNames(this.#logins, hosts, nameOf);
    if (this.#files.size === 0) return;
    const uses = new Set(
      hosts.flatMap((host) => host.identities.map((path) => `${formatLogin(host)} ${keyOf(path)}`)),
    );
    for (const [path, { logins }] of this.#files) {
      for (const login of logins) if (!uses.has(`${login} ${keyOf(path)}`)) logins.delete(login);
      if (logins.size === 0) this.#files.delete(path);
    }
  }

  /** All that was typed. Opened keys are not among it: their passphrases open them again. */
  typed(): TypedSecrets {
    return {
      passwords: [...this.#passwords].map(([name, secret]) => ({ name, secret })),
      passphrases: [...this.#files].flatMap(([path, { passphrase, logins }]) =>
        passphrase === null ? [] : [{ path, logins: [...logins], secret: passphrase }],
      ),
    };
  }

  inherit({ passwords, passphrases }: TypedSecrets): void {
    for (const { name, secret } of passwords) this.#passwords.set(name, secret);
    for (const { path, logins, secret } of passphrases)
      this.#files.set(path, { passphrase: secret, opened: null, logins: new Set(logins) });
  }

  #fileOf(host: Host, path: string): FileSecrets {
    const found = this.#files.get(path) ?? { passphrase: null, opened: null, logins: new Set<string>() };
    this.#files.set(path, found);
    found.logins.add(formatLogin(host));
    return found;
  }
}

const nameOf = (host: Host): string => JSON.stringify(host);

const passwordName = (host: Host): string =>
  `${formatLogin(host)} ${host.password === null ? '' : formatSecretRef(host.password)}`;

/** An identity may be named by its public half. */
const keyOf = (path: string): string => path.replace(/\.pub$/, '');

function keepNames(kept: Map<string, unknown>, hosts: readonly Host[], nameOf: (host: Host) => string): void {
  if (kept.size === 0) return;
  const names = new Set(hosts.map(nameOf));
  for (const name of kept.keys()) if (!names.has(name)) kept.delete(name);
}

/** Which key or certificate has logged in where, so that it is tried first, and alone after a refusal (SPEC 3). */
export interface Proven {
  /** `login` is user@hostname:port; `credential` a fingerprint, with " certificate" behind it for a certificate. */
  has(login: string, credential: string): boolean;
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

/** One-time codes that were sent: a server takes each only once (RFC 6238 5.2), so each is handed out once, whoever of us asks. */
export interface SpentCodes {
  /** Takes the code of a step (see TotpCode) for the caller alone. False: somebody has it. */
  take(parameters: TotpParameters, step: number): boolean;
}

/** Of each seed: the newest, and the one before, which a caller that looked at the clock a moment ago may still ask for. */
const keptSteps = 2;

/** Of one process, for all its links: for a state folder that cannot be written, and for tests. */
export function spentInMemory(): SpentCodes {
  const steps = new Map<string, readonly number[]>();
  return {
    take(parameters, step) {
      const mark = markOf(parameters);
      const taken = steps.get(mark) ?? [];
      if (taken.includes(step)) return false;
      steps.set(mark, [...taken, step].slice(-keptSteps));
      return true;
    },
  };
}

/**
 * Of all processes with this state folder, and of the next one: `down` and `up` in half a minute would send a code twice.
 * A code is an empty file that only one can make. `failed` hears, once, why that cannot be done; memory then has to do.
 */
export function openSpentCodes(folder: string, failed: (why: string) => void): SpentCodes {
  const memory = spentInMemory();
  let broken = false;
  return {
    take(parameters, step) {
      if (!memory.take(parameters, step)) return false;
      try {
        return takeFile(folder, markOf(parameters), step);
      } catch (error) {
        if (!broken) failed(error instanceof Error ? error.message : String(error));
        broken = true;
        return true;
      }
    },
  };
}

function takeFile(folder: string, mark: string, step: number): boolean {
  makeFolders(folder);
  try {
    writeFileSync(join(folder, `${mark}-${step}`), '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  const mine = readdirSync(folder).filter((name) => name.startsWith(`${mark}-`));
  const age = (name: string): number => Math.abs(step - Number(name.slice(mark.length + 1)));
  for (const name of mine) if (!(age(name) < keptSteps)) rmSync(join(folder, name), { force: true });
  return true;
}

/** Tells seeds apart and says nothing of them: 32 bits of a digest. Two that look alike cost a wait. */
function markOf({ key, digits, periodSeconds, algorithm }: TotpParameters): string {
  const kind = `one-time code ${algorithm} ${digits} ${periodSeconds} `;
  return createHash('sha256').update(kind).update(key).digest('hex').slice(0, 8);
}
