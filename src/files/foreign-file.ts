// Files that are not ours: keys, certificates, known_hosts, secrets, configs. Each is read here, so that nothing in its place
// (a FIFO, a device, a dead mount, a file without end) can hang a login, a thread or the end of this process.
import { closeSync, constants, fstatSync, openSync, readSync, statSync, type BigIntStats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoWords } from './errno.ts';
import { fileSystemAnswers } from './mounts.ts';
import { afterRunning } from './running-time.ts';

/** Why a file cannot be read, as the end of a sentence. */
export class UnreadableFile extends Error {
  /** The system's word; null where the refusal is our own. */
  readonly code: string | null;

  constructor(code: string | null, why: string, cause?: unknown) {
    super(why, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

export interface ForeignFile {
  readonly bytes: Buffer;
  readonly stats: BigIntStats;
}

/** O_NONBLOCK: a FIFO that nobody writes to is opened, and refused, not waited for. */
const readOnly = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Throws UnreadableFile. What this process is short of (EMFILE …) is thrown as it is: it says nothing of the file. */
export function readForeignFile(path: string, limitBytes: number): Promise<ForeignFile> {
  return bounded(path, async () => {
    let file: FileHandle | null = null;
    try {
      file = await open(path, readOnly);
      const stats = await file.stat({ bigint: true });
      const empty = check(stats, limitBytes);
      return { bytes: empty ?? (await readAll(file, limitBytes)), stats };
    } catch (thrown) {
      throw asUnreadable(thrown);
    } finally {
      await file?.close();
    }
  });
}

/** As `readForeignFile`, of what does not change its content alone. */
export function statForeignFile(path: string): Promise<BigIntStats> {
  return bounded(path, () =>
    stat(path, { bigint: true }).catch((thrown: unknown) => {
      throw asUnreadable(thrown);
    }),
  );
}

/** As `readForeignFile`, for configs: everything waits for it, so it is for where nothing is far away. */
export function readForeignFileNow(path: string, limitBytes: number): ForeignFile {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(path, readOnly);
    const stats = fstatSync(descriptor, { bigint: true });
    const empty = check(stats, limitBytes);
    return { bytes: empty ?? readAllNow(descriptor, limitBytes), stats };
  } catch (thrown) {
    throw asUnreadable(thrown);
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** No config comes near. */
const configLimitBytes = 4 * 1024 * 1024;

/** As `readForeignFileNow`. */
export function readForeignTextNow(path: string): string {
  return readForeignFileNow(path, configLimitBytes).bytes.toString('utf8');
}

/** Nothing, for the device that holds nothing; null: there is something to read. */
function check(stats: BigIntStats, limitBytes: number): Buffer | null {
  if (stats.isDirectory()) throw new UnreadableFile('EISDIR', 'it is a folder');
  if (stats.isCharacterDevice() && stats.rdev === statSync('/dev/null', { bigint: true }).rdev)
    return Buffer.alloc(0);
  if (!stats.isFile()) throw new UnreadableFile(null, 'it is not a regular file');
  if (stats.size > limitBytes) throw tooLong(limitBytes);
  return null;
}

function tooLong(limitBytes: number): UnreadableFile {
  const [size, unit] = limitBytes < 1024 * 1024 ? [1024, 'KiB'] : [1024 * 1024, 'MiB'];
  return new UnreadableFile(null, `it is larger than ${Math.floor(limitBytes / size)} ${unit}`);
}

const pieceBytes = 64 * 1024;

/** To its end, wherever that is by now: it may grow, and some say that they hold nothing (proc(5)). */
async function readAll(file: FileHandle, limitBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let length = 0; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(pieceBytes), 0, pieceBytes, null);
    if (bytesRead === 0) return Buffer.concat(pieces);
    pieces.push(buffer.subarray(0, bytesRead));
    if ((length += bytesRead) > limitBytes) throw tooLong(limitBytes);
  }
}

function readAllNow(descriptor: number, limitBytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let length = 0; ;) {
    const piece = Buffer.allocUnsafe(pieceBytes);
    const bytesRead = readSync(descriptor, piece, 0, pieceBytes, null);
    if (bytesRead === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, bytesRead));
    if ((length += bytesRead) > limitBytes) throw tooLong(limitBytes);
  }
}

const shortages = ['EMFILE', 'ENFILE', 'ENOMEM'];

function asUnreadable(thrown: unknown): unknown {
  if (thrown instanceof UnreadableFile) return thrown;
  const { code = '', message } = thrown as NodeJS.ErrnoException;
  if (shortages.includes(code)) return thrown;
  const why = code === 'ENOENT' ? 'there is no such file' : (errnoWords(code) ?? (code || message));
  return new UnreadableFile(code || null, why, thrown);
}

const limitMs = 5_000;
/** The reads of a folder, one at a time: where it hangs it has one thread, not all there are. */
const turns = new Map<string, Promise<unknown>>();
/** Folders whose read is overdue: nobody waits behind it. */
const overdue = new Set<string>();

const silent = (): UnreadableFile => new UnreadableFile('ETIMEDOUT', 'its file system does not answer');

async function bounded<T>(path: string, work: () => Promise<T>): Promise<T> {
  const folder = dirname(path);
  if (overdue.has(folder) || !(await fileSystemAnswers(path))) throw silent();
  let late = false;
  const before = turns.get(folder) ?? Promise.resolve();
  const read = before.then(() => (late ? Promise.reject(silent()) : work()));
  const turn = read.then(
    () => undefined,
    () => undefined,
  );
  turns.set(folder, turn);
  void turn.then(() => {
    if (turns.get(folder) !== turn) return;
    turns.delete(folder);
    overdue.delete(folder);
  });
  return new Promise((resolve, reject) => {
    const cancel = afterRunning(limitMs, () => {
      late = true;
      overdue.add(folder);
      reject(silent());
    });
    void turn.then(cancel);
    read.then(resolve, reject);
  });
}
