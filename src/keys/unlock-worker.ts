// Key thread, inside: one message with a key file's text and a passphrase in, one key or one problem out.
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort, threadId } from 'node:worker_threads';
import { KeyError } from './private-key.ts';
import type { UnlockReply, UnlockRequest } from './unlock.ts';
import { unlockKey } from './decrypt.ts';

function unlock(request: UnlockRequest): UnlockReply {
  try {
    return { id: request.id, thread: threadId, key: unlockKey(request.text, request.passphrase) };
  } catch (error) {
    const problem = error instanceof KeyError ? error.problem : 'damaged';
    const message = error instanceof KeyError ? error.message : 'it cannot be read';
    return { id: request.id, thread: threadId, problem, message };
  }
}

/** A second of bcrypt must not take the processor from the thread that carries the traffic. */
const niceness = 5;

/** Linux counts niceness by thread (setpriority(2), BUGS), and says which one asks; elsewhere all stays as it is. */
function giveWay(): void {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), niceness);
  } catch {
    // no /proc, or not allowed: no reason not to open keys
  }
}

giveWay();
parentPort?.on('message', (request: UnlockRequest) => parentPort?.postMessage(unlock(request)));
