// The trust store: reads every known_hosts file that counts, writes only our own (SPEC 5). Changes are atomic and under a lock.
import { chmod, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { replaceFile } from '../files/atomic.ts';
import { TunnelError } from '../errors.ts';
import { isFull, isUnwritable, reasonOf } from '../files/errno.ts';
import { underLock } from '../files/lock.ts';
import { foreignWriter } from '../files/owned.ts';
import { makeFolders } from '../files/folders.ts';
import { shellWord } from '../model/shell-word.ts';
import { knownTypes, type KnownTypes } from './algorithms.ts';
import { unwritableName, withKey } from './edit.ts';
import { fingerprint } from '../keys/fingerprint.ts';
import {
  parseInSlices,
  parseKnownHosts,
  type KnownHostEntry,
  type Place,
  type SkippedLine,
} from './known-hosts.ts';
import { readKnownHostsFile } from './read-file.ts';
import { openSeenFile, type SeenFile } from './seen.ts';
import { judge, judgePresented, type Judgement, type Verdict } from './verdict.ts';

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
  /** Who must own the store; default: who we run as. Null where there are no user ids. */
  readonly uid?: number | null;
  /**
   * For a process that lives long: where the store cannot be written, what is stored is kept in memory, and written with
   * the next change that can be. Called the first time, with the reason.
   */
  readonly keepInMemory?: (why: TunnelError) => void;
}

export function createTrustStore(options: TrustStoreOptions): TrustStore {
  const { file, now, uid = process.geteuid?.() ?? null } = options;
  const seen = openSeenFile(`${file}.seen.json`);
  const parse = rememberingParser();
  const join = rememberingJoin();

  let unwritten: Unwritten | null = null;
  let told = false;
  let turn: Promise<unknown> = Promise.resolve();

  const readOwn = async (): Promise<string> => {
    await checkFolder(dirname(file), uid);
    const text = await readKnownHostsFile(file, 'strict', uid);
    return unwritten === null ? text : withUnwritten(text, unwritten);
  };
  const readForeign = async (files: readonly string[]): Promise<ParsedFile[]> =>
    Promise.all(
      [...new Set(files)]
        .filter((path) => path !== file)
        .map(async (path) => parse(await readKnownHostsFile(path, 'any', uid), path)),
    );

  const changed = async <T>(
    foreignFiles: readonly string[],
    change: Change<T>,
    keep: (text: string) => Promise<void>,
  ): Promise<T> => {
    const before = await readOwn();
    const foreign = (await readForeign(foreignFiles)).flatMap(({ entries }) => entries);
    const { text, result } = change(before, foreign);
    if (text !== before) await keep(text);
    return result;
  };
  const edit: TrustStore['edit'] = async (foreignFiles, change) => {
    const seenUnwritten = unwritten;
    const keep = async (text: string): Promise<void> => {
      await write(file, text);
      if (unwritten === seenUnwritten) unwritten = null;
    };
    try {
      makeFolders(dirname(file));
      return await underLock(file, () => changed(foreignFiles, change, keep));
    } catch (thrown) {
      throw unwritable(file, thrown);
    }
  };

  /** The same in memory, where `edit` failed for the disk's reasons alone. */
  const remember = async <T>(change: Change<T>, error: TunnelError): Promise<T> => {
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    if (options.keepInMemory === undefined || !(isUnwritable(code) || isFull(code))) throw error;
    if (!told) options.keepInMemory(error);
    told = true;
    const mine = turn.then(() =>
      changed([], change, async (text) => {
        unwritten = { written: await readKnownHostsFile(file, 'strict', uid), text };
      }),
    );
    turn = mine.catch(() => undefined); // told to whoever asked
    return mine;
  };

  const add = async (name: string, key: Buffer, allowFurther: boolean): Promise<StoredKey> => {
    checkName(name);
    const change = (before: string): { text: string; result: StoredKey } => {
      const verdict = judge(parseKnownHosts(before, file).entries, name, key);
      refuseUnless(verdict, name, key, allowFurther);
      const { text, line, added } = withKey(before, name, key);
      return { text, result: { at: { file, line }, added, unwritten: null } };
    };
    const stored = await edit([], change).catch(async (error: TunnelError) => ({
      ...(await remember(change, error)),
      unwritten: error,
    }));
    if (stored.added) {
      const firstSeenMs = now();
      await seen
        .update((keys) => keys.set(name, fingerprint(key), { firstSeenMs, goneMs: null }))
        .catch(() => undefined); // two columns of a list are not worth a failed login
    }
    return stored;
  };

  return {
    file,
    seen,
    edit,
    async read(foreignFiles) {
      const own = await parse(await readOwn(), file);
      const files = [own, ...(await readForeign(foreignFiles))];
      const entries = join(files);
      return {
        entries,
        skipped: files.flatMap((parsed) => parsed.skipped),
        judge: (name, blob) => judgePresented(entries, name, blob, now()),
        knownTypes: (name) => knownTypes(entries, name),
      };
    },
    trust: (name, key) => add(name, key, false),
    also: (name, key) => add(name, key, true),
    async markUsed(name, print) {
      const lastUsedMs = now();
      await seen.update((keys) => keys.set(name, print, { lastUsedMs, goneMs: null })).catch(() => undefined); // read-only state, or a full disk: the login counts more
    },
  };
}

type Change<T> = (text: string, foreign: readonly KnownHostEntry[]) => { text: string; result: T };

/** What could not be written: the file as it was, and as it was to be. */
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
