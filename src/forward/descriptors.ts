// Descriptors: whether a client may still have one. The last ones are kept for our own needs: commands, files, the log, and
// dialling servers, so that a crowd of clients neither ends the supervisor nor locks its user out (setrlimit(2)).
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';

const reserve = 32;
/** A limit is looked up again after this time: prlimit(1) may change it. */
const believeMs = 1000;
/** One that is not to be known (no Linux): the system says so itself when it is reached. */
const unknown = Number.POSITIVE_INFINITY;

let limit = unknown;
let readAtMs = Number.NEGATIVE_INFINITY;
let isFull = false;

interface NoRoom {
  readonly limit: number;
  /** The first since there last was room: to be told. */
  readonly first: boolean;
}

/**
 * Null: there is. Judges by the number of a descriptor that was just made: the system gives the lowest that is free
 * (open(2)), so all below it are in use.
 */
export function noRoomFor(socket: Socket): NoRoom | null {
  const { fd = -1 } = (socket as { _handle?: { fd?: number } | null })._handle ?? {};
  const most = limitNow();
  const kept = Math.min(reserve, Math.floor(most / 4));
  if (fd < most - kept) {
    // Only where some more have left: at the edge it would be told again with every client.
    if (fd < most - 2 * kept) isFull = false;
    return null;
  }
  const first = !isFull;
  isFull = true;
  return { limit: most, first };
}

function limitNow(): number {
  const now = performance.now();
  if (now - readAtMs < believeMs) return limit;
  readAtMs = now;
  limit = readLimit();
  return limit;
}

/** proc_pid_limits(5). Node raises the soft limit to the hard one when it starts. */
function readLimit(): number {
  try {
    const [, soft = ''] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === '' ? unknown : Number(soft);
  } catch {
    return unknown; // no /proc here
  }
}
