// Reads log files line by line, oldest first, and follows the one being written through its rotations.
import { open, type FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as pause } from 'node:timers/promises';
import { logFileNames } from '../model/log-files.ts';

/** Where reading stopped: which file by its number, how far, and the begun line. */
export interface Position {
  readonly inode: number | null;
  readonly offset: number;
  readonly begun: string;
}

const pollMs = 150;
const pieceBytes = 64 * 1024;

/** Every line of every file that exists, in the order they were written. */
export async function readLog(log: string, take: (line: string) => void): Promise<Position> {
  let position: Position = { inode: null, offset: 0, begun: '' };
  for (const name of logFileNames(log)) {
    await using file = await openIfThere(name);
    if (file === null) continue;
    const { ino } = await file.stat();
    position = await readFrom(file, { inode: ino, offset: 0, begun: '' }, take);
    if (name !== log && position.begun !== '') take(position.begun);
    if (name !== log) position = { inode: null, offset: 0, begun: '' };
  }
  return position;
}

/** Goes on from a position until the signal ends it, and then rejects. Looks every 150 ms. */
export async function followLog(
  log: string,
  from: Position,
  signal: AbortSignal,
  take: (line: string) => void,
): Promise<never> {
  let position = from;
  let current = await openIfThere(log);
  try {
    for (;;) {
      const latest = await openIfThere(log);
      const inode = latest === null ? null : (await latest.stat()).ino;
      // What was still written to the file that has been renamed comes first.
      if (current !== null) position = await readFrom(current, await sameFile(current, position), take);
      if (inode !== position.inode && latest !== null) {
        await current?.close();
        current = latest;
        if (position.begun !== '') take(position.begun);
        position = await readFrom(latest, { inode, offset: 0, begun: '' }, take);
      } else await latest?.close();
      await pause(pollMs, undefined, { signal });
    }
  } finally {
    await current?.close();
  }
}

/** The position, or the start of the file where it is another one or was cut. */
async function sameFile(file: FileHandle, position: Position): Promise<Position> {
  const { ino, size } = await file.stat();
  if (ino === position.inode && size >= position.offset) return position;
  return { inode: ino, offset: 0, begun: '' };
}

async function readFrom(file: FileHandle, from: Position, take: (line: string) => void): Promise<Position> {
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.alloc(pieceBytes);
  let { offset, begun } = from;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, pieceBytes, offset);
    if (bytesRead === 0) return { inode: from.inode, offset, begun };
    offset += bytesRead;
    const lines = (begun + decoder.write(buffer.subarray(0, bytesRead))).split('\n');
    begun = lines.pop() ?? '';
    for (const line of lines) take(line);
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}
