// The trust store: reads every known_hosts file that counts, writes only our own (SPEC 5). Changes are atomic and under a lock.
import { chmod, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { TunnelError } from '../errors.ts';
import { replaceFile } from '../files/atomic.ts';
import { isFull, isUnwritable, reasonOf } from '../files/errno.ts';
import { makeFolders } from '../files/folders.ts';
import { readForeignFile, UnreadableFile, type ForeignFile } from '../files/foreign-file.ts';
import { underLock } from '../files/lock.ts';
import { foreignWriter } from '../files/owned.ts';
import { fingerprint } from '../keys/fingerprint.ts';
import { shellWord } from '../model/shell-word.ts';
import {
  unwritableName,
  withKey,
  parseInSlices,
  parseKnownHosts,
  type KnownHostEntry,
  type Place,
  type SkippedLine,
} from './known-hosts.ts';
import { openSeenFile, type SeenFile } from './seen.ts';
import {
  knownTypes,
  type KnownTypes,
  judge,
  judgePresented,
  type Judgement,
  type Verdict,
} from './verdict.ts';

/** Everything the files say, at the moment they were read: our own store first. */
export interface KnownHosts {
  readonly entries: readonly KnownHostEntry[];
  /** Lines that were not understood, as OpenSSH skips them too. */
  readonly skipped: readonly SkippedLine[];
  /** Judges what a server presents, a plain key or a certificate. `name` as `hostKeyName` makes it. */
  judge(name: string, blob: Buffer): Judgement;
  knownTypes(name: string): KnownTypes;
}

export interface StoredKey {
  readonly at: Place;
  /** False: it stood there before. */
  readonly added: boolean;
  /** Why it stands in the memory of this process alone; null when it was written. */
  readonly unwritten: TunnelError | null;
}

export interface TrustStore {
  readonly file: string;
  /**
   * Reads our store and the foreign files. A file that does not exist is empty.
   * Throws HOST_KEY_UNKNOWN when one cannot be read, or ours belongs to somebody else.
   */
  read(foreignFiles: readonly string[]): Promise<KnownHosts>;
  /**
   * Stores a key that the server has proved. Throws HOST_KEY_CHANGED or HOST_KEY_REVOKED when our store has come to
   * say otherwise meanwhile, HOST_KEY_UNKNOWN when it cannot be written.
   */
  trust(name: string, key: Buffer): Promise<StoredKey>;
  /** Stores one more key for a name that has others (a balanced bastion). */
  also(name: string, key: Buffer): Promise<StoredKey>;
  /**
   * Rewrites our store: `change` gets its text and what all files say. For edits in this room.
   * Null leaves it as it is.
   */
  edit<T>(foreignFiles: readonly string[], change: Change<T>): Promise<T>;
  /** Remembers that the key on a line vouched for a login. Never rejects: a login must not fail over it. */
  markUsed(name: string, fingerprint: string): Promise<void>;
  readonly seen: SeenFile;
}

export interface TrustStoreOptions {
  /** Our own known_hosts (`Places.knownHosts`). */
  readonly file: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** User id that must own the store; default: ours. Null where there are no user ids. */
  readonly uid?: number | null;
  /**
   * For a process that lives long: where the store cannot be written, what is stored is kept in memory, and written with
   * the next change that can be. Called the first time, with the reason.
   */
  readonly keepInMemory?: (why: TunnelError) => void;
}

export function createTrustStore(options: TrustStoreOptions): TrustStore {
  return new KnownHostsStore(options);
}

class KnownHostsStore implements TrustStore {
  readonly file: string;
  readonly seen: SeenFile;
  readonly #options: TrustStoreOptions;
  readonly #uid: number | null;
  readonly #parse = rememberingParser();
  readonly #join = rememberingJoin();
  #unwritten: Unwritten | null = null;
  #told = false;
  /** Changes in memory, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: TrustStoreOptions) {
    this.#options = options;
    this.#uid = options.uid === undefined ? (process.geteuid?.() ?? null) : options.uid;
    this.file = options.file;
    this.seen = openSeenFile(`${options.file}.seen.json`);
  }

  async read(foreignFiles: readonly string[]): Promise<KnownHosts> {
    const own = await this.#parse(await this.#readOwn(), this.file);
    const files = [own, ...(await this.#readForeign(foreignFiles))];
    const entries = this.#join(files);
    return {
      entries,
      skipped: files.flatMap((parsed) => parsed.skipped),
      judge: (name, blob) => judgePresented(entries, name, blob, this.#options.now()),
      knownTypes: (name) => knownTypes(entries, name),
    };
  }

  trust(name: string, key: Buffer): Promise<StoredKey> {
    return this.#add(name, key, false);
  }

  also(name: string, key: Buffer): Promise<StoredKey> {
    return this.#add(name, key, true);
  }

  async edit<T>(foreignFiles: readonly string[], change: Change<T>): Promise<T> {
    const before = this.#unwritten;
    const keep = async (text: string): Promise<void> => {
      await write(this.file, text);
      if (this.#unwritten === before) this.#unwritten = null;
    };
    try {
      makeFolders(dirname(this.file));
      return await underLock(this.file, () => this.#change(foreignFiles, change, keep));
    } catch (thrown) {
      throw unwritable(this.file, thrown);
    }
  }

  async markUsed(name: string, print: string): Promise<void> {
    const lastUsedMs = this.#options.now();
    await this.seen
      .update((keys) => keys.set(name, print, { lastUsedMs, goneMs: null }))
      .catch(() => undefined); // read-only state, or a full disk: the login counts more
  }

  async #readOwn(): Promise<string> {
    await checkFolder(dirname(this.file), this.#uid);
    const text = await readKnownHostsFile(this.file, 'strict', this.#uid);
    return this.#unwritten === null ? text : withUnwritten(text, this.#unwritten);
  }

  #readForeign(files: readonly string[]): Promise<ParsedFile[]> {
    return Promise.all(
      [...new Set(files)]
        .filter((path) => path !== this.file)
        .map(async (path) => this.#parse(await readKnownHostsFile(path, 'any', this.#uid), path)),
    );
  }

  async #change<T>(
    foreignFiles: readonly string[],
    change: Change<T>,
    keep: (text: string) => Promise<void>,
  ): Promise<T> {
    const before = await this.#readOwn();
    const foreign = (await this.#readForeign(foreignFiles)).flatMap(({ entries }) => entries);
    const { text, result } = change(before, foreign);
    if (text !== before) await keep(text);
    return result;
  }

  /** A change in memory alone, where `edit` failed for the disk's reasons. */
  async #remember<T>(change: Change<T>, error: TunnelError): Promise<T> {
    const { keepInMemory } = this.#options;
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    if (keepInMemory === undefined || !(isUnwritable(code) || isFull(code))) throw error;
    if (!this.#told) keepInMemory(error);
    this.#told = true;
    const mine = this.#turn.then(() =>
      this.#change([], change, async (text) => {
        this.#unwritten = { written: await readKnownHostsFile(this.file, 'strict', this.#uid), text };
      }),
    );
    this.#turn = mine.catch(() => undefined); // told to whoever asked
    return mine;
  }

  async #add(name: string, key: Buffer, allowFurther: boolean): Promise<StoredKey> {
    checkName(name);
    const { file } = this;
    const change = (before: string): { text: string; result: StoredKey } => {
      const verdict = judge(parseKnownHosts(before, file).entries, name, key);
      refuseUnless(verdict, name, key, allowFurther);
      const { text, line, added } = withKey(before, name, key);
      return { text, result: { at: { file, line }, added, unwritten: null } };
    };
    const stored = await this.edit([], change).catch(async (error: TunnelError) => ({
      ...(await this.#remember(change, error)),
      unwritten: error,
    }));
    if (stored.added) {
      const firstSeenMs = this.#options.now();
      await this.seen
        .update((keys) => keys.set(name, fingerprint(key), { firstSeenMs, goneMs: null }))
        .catch(() => undefined); // two columns of a list are not worth a failed login
    }
    return stored;
  }
}

type Change<T> = (text: string, foreign: readonly KnownHostEntry[]) => { text: string; result: T };

/** A change that could not be written: the file as it was, and as it was to be. */
interface Unwritten {
  readonly written: string;
  readonly text: string;
}

/** Somebody else may have written the file meanwhile: then what was to be added to it still is. */
function withUnwritten(now: string, { written, text }: Unwritten): string {
  if (now === written) return text;
  const known = new Set([...now.split('\n'), ...written.split('\n')]);
  const missing = text.split('\n').filter((line) => !known.has(line));
  return [now.trimEnd(), ...missing].filter((line) => line !== '').join('\n') + '\n';
}

type ParsedFile = ReturnType<typeof parseKnownHosts>;

/** Lines parsed between two looks at the other connections: about 5 ms. */
const linesAtOnce = 200;

/** Parses a file again only when its text has changed: a hundred links share one long known_hosts. */
function rememberingParser(): (text: string, file: string) => Promise<ParsedFile> {
  const known = new Map<string, { text: string; parsed: Promise<ParsedFile> }>();
  return (text, file) => {
    const last = known.get(file);
    if (last?.text === text) return last.parsed;
    const parsed = parseSlowly(text, file);
    known.set(file, { text, parsed });
    return parsed;
  };
}

async function parseSlowly(text: string, file: string): Promise<ParsedFile> {
  const slices = parseInSlices(text, file, linesAtOnce);
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value;
    await setImmediate();
  }
}

/** The entries of several files as one list, the same one while the files stay the same. */
function rememberingJoin(): (files: readonly ParsedFile[]) => readonly KnownHostEntry[] {
  const known = new Map<string, { files: readonly ParsedFile[]; entries: readonly KnownHostEntry[] }>();
  return (files) => {
    const key = files.map((parsed) => parsed.file).join('\n');
    const last = known.get(key);
    if (last !== undefined && last.files.every((parsed, index) => parsed === files[index]))
      return last.entries;
    const entries = files.flatMap((parsed) => parsed.entries);
    known.set(key, { files, entries });
    return entries;
  };
}

async function checkFolder(folder: string, uid: number | null): Promise<void> {
  if (uid === null) return;
  const facts = await stat(folder).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return null;
    throw refused(folder, reasonOf(thrown), `ls -ld ${shellWord(folder)}`);
  });
  if (facts === null) return;
  const writer = foreignWriter(facts, uid);
  if (writer !== null)
    throw refused(
      folder,
      writer.why,
      `${writer.who === 'owner' ? 'ls -ld' : 'chmod 700'} ${shellWord(folder)}`,
    );
}

function refused(folder: string, why: string, hint: string): TunnelError {
  return new TunnelError('HOST_KEY_UNKNOWN', `host key check failed, on ${folder}: ${why}`, {
    hint,
    facts: { file: folder },
  });
}

async function write(file: string, text: string): Promise<void> {
  await replaceFile(file, text);
  await chmod(file, 0o600); // a file that was there before keeps its mode otherwise
}

/** `cause` is the system's own error where there is one, so that a read-only folder can be told from a damaged one. */
function unwritable(file: string, thrown: unknown): TunnelError {
  if (thrown instanceof TunnelError && thrown.code !== 'INTERNAL') return thrown;
  const locked = thrown instanceof TunnelError ? thrown : null;
  const cause = locked?.cause ?? thrown;
  const why = locked === null || locked.cause !== undefined ? reasonOf(cause) : locked.message;
  return new TunnelError('HOST_KEY_UNKNOWN', `host key not stored, on ${file}: ${why}`, {
    hint: locked?.hint ?? `ls -ld ${shellWord(dirname(file))}`,
    cause,
  });
}

/** Throws CONFIG_INVALID for a name that would mean something else on a line of known_hosts. */
export function checkName(name: string): void {
  const why = unwritableName(name);
  if (why !== null)
    throw new TunnelError('CONFIG_INVALID', `host key not stored, on "${name}": ${why}`, {
      hint: 'set host_key_alias to a plain name',
    });
}

function refuseUnless(verdict: Verdict, name: string, key: Buffer, allowFurther: boolean): void {
  const print = fingerprint(key);
  switch (verdict.kind) {
    case 'trusted':
    case 'unknown':
      return;
    case 'changed':
      if (allowFurther) return;
      throw new TunnelError(
        'HOST_KEY_CHANGED',
        `host key not stored, on ${name}: another key than ${print} has been stored meanwhile`,
      );
    case 'revoked':
      throw new TunnelError(
        'HOST_KEY_REVOKED',
        `host key not stored, on ${name}: ${print} is revoked at ${verdict.at.file}:${verdict.at.line}`,
      );
    case 'unusable':
      throw new TunnelError('HOST_KEY_UNKNOWN', `host key not stored, on ${name}: ${verdict.reason}`);
  }
}

/** No key list comes near; more would only stall every login. */
export const knownHostsLimitBytes = 64 * 1024 * 1024;

/** Who may own a file we believe. `strict` is for our own store, which nobody else may write. */
export type FileOwnership = 'any' | 'strict';

/**
 * The text of the file, '' when it does not exist (or is /dev/null).
 * Throws HOST_KEY_UNKNOWN: a key cannot be believed when a list that could revoke it is out of reach.
 */
export async function readKnownHostsFile(
  path: string,
  ownership: FileOwnership,
  uid: number | null,
): Promise<string> {
  let file: ForeignFile;
  try {
    file = await readForeignFile(path, knownHostsLimitBytes);
  } catch (thrown) {
    if (!(thrown instanceof UnreadableFile)) throw thrown; // a shortage of this process: no fault of the list
    if (thrown.code === 'ENOENT') return '';
    throw unreadable(path, thrown.message, thrown.cause ?? thrown);
  }
  const stats = { uid: Number(file.stats.uid), mode: Number(file.stats.mode) };
  const writer = ownership === 'strict' ? foreignWriter(stats, uid) : null;
  if (writer !== null)
    throw unreadable(
      path,
      writer.why,
      undefined,
      writer.who === 'owner' ? undefined : `chmod 600 ${shellWord(path)}`,
    );
  return file.bytes.toString('utf8');
}

function unreadable(path: string, why: string, cause?: unknown, hint?: string): TunnelError {
  return new TunnelError('HOST_KEY_UNKNOWN', `host key check failed, on ${path}: ${why}`, {
    hint: hint ?? `ls -l ${shellWord(path)}`,
    facts: { file: path },
    cause,
  });
}
