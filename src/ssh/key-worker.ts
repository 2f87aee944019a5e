// Key thread, inside: one message with a key file's text and a passphrase in, one key or one problem out.
import { parentPort, threadId } from 'node:worker_threads';
import { KeyError } from './key-private.ts';
import type { UnlockReply, UnlockRequest } from './key-thread.ts';
import { unlockKey } from './key-unlock.ts';

function unlock(request: UnlockRequest): UnlockReply {
  try {
    return { id: request.id, thread: threadId, key: unlockKey(request.text, request.passphrase) };
  } catch (error) {
    const problem = error instanceof KeyError ? error.problem : 'damaged';
    const message = error instanceof KeyError ? error.message : 'it cannot be read';
    return { id: request.id, thread: threadId, problem, message };
  }
}

parentPort?.on('message', (request: UnlockRequest) => parentPort?.postMessage(unlock(request)));
