// Key thread, outside: has encrypted keys opened in a worker, since 16 rounds of bcrypt stop this thread for half a second.
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Secret } from '../model/secret.ts';
import { unlockKey } from './decrypt.ts';
import { KeyError, type KeyProblem } from './private-key.ts';

export interface UnlockRequest {
  readonly id: number;
  readonly text: string;
  readonly passphrase: string;
}

export type UnlockReply =
  | { readonly id: number; readonly thread: number; readonly key: KeyObject }
  | { readonly id: number; readonly thread: number; readonly problem: KeyProblem; readonly message: string };

/** Opens an encrypted key. Throws KeyError: passphrase-wrong, damaged or unsupported. */
export type Unlock = (text: string, passphrase: Secret) => Promise<KeyObject>;

interface KeyThread {
  readonly worker: Worker;
  readonly waiting: Map<number, { resolve(key: KeyObject): void; reject(error: unknown): void }>;
}

let thread: KeyThread | null = null;
let lastId = 0;

/**
 * One thread for all, started when needed and ended when nothing is left to open: it costs some 10 MB.
 * It never keeps the process alive on its own.
 */
export const unlockInThread: Unlock = async (text, passphrase) => {
  try {
    return await askThread(text, passphrase);
  } catch (error) {
    if (error instanceof KeyError) throw error;
    // no thread is to be had (limits, memory): a stall is better than no login
    return unlockKey(text, passphrase.reveal());
  }
};

function askThread(text: string, passphrase: Secret): Promise<KeyObject> {
  thread ??= startThread();
  const { worker, waiting } = thread;
  const id = (lastId += 1);
  return new Promise<KeyObject>((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    const request: UnlockRequest = { id, text, passphrase: passphrase.reveal() };
    worker.postMessage(request);
  });
}

function startThread(): KeyThread {
  const started: KeyThread = { worker: startWorker(), waiting: new Map() };
  const end = (error: unknown): void => {
    if (thread === started) thread = null;
    for (const caller of started.waiting.values()) caller.reject(error);
    started.waiting.clear();
    void started.worker.terminate();
  };
  started.worker.on('error', end);
  started.worker.on('exit', () => end(new Error('the key thread ended')));
  started.worker.on('message', (reply: UnlockReply) => {
    const caller = started.waiting.get(reply.id);
    started.waiting.delete(reply.id);
    if ('key' in reply) caller?.resolve(reply.key);
    else caller?.reject(new KeyError(reply.problem, reply.message));
    if (started.waiting.size === 0) end(null);
  });
  return started;
}

/**
 * The bundle has the worker beside it (build.mjs), and it is read when the program starts: an update may remove the file under a
 * supervisor that runs for weeks. Null: run from sources (tests, development).
 */
const built = readBuilt(new URL('./unlock-worker.cjs', import.meta.url));

function readBuilt(file: URL): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null; // not beside the sources
  }
}

/** From sources it is TypeScript, which node 20 does not load: tsx, a development dependency, does that inside the worker. */
function startWorker(): Worker {
  const options = { env: {}, execArgv: [], stdout: false, stderr: false, eval: true };
  if (built !== null) return new Worker(built, options);
  const source = new URL('./unlock-worker.ts', import.meta.url).href;
  const loader = import.meta.resolve('tsx/esm/api');
  const program = `import(${JSON.stringify(loader)}).then(({ register }) => { register(); return import(${JSON.stringify(source)}); });`;
  return new Worker(program, options);
}
