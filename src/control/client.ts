// A command's end of the control socket. Small, for `status` loads it on every call: no dependency, one round trip.
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { TunnelError, type ErrorReport } from '../errors.ts';
import { createDecoder, encodeMessage } from './framing.ts';
import { checkOwnFolder, type Owner } from '../files/folders.ts';
import { runningMs } from '../files/running-time.ts';
import { protocolVersion, type Method, type Methods } from './protocol.ts';

export interface ConnectOptions {
  readonly version: string;
  readonly owner: Owner;
  readonly token?: string | null;
  /** Milliseconds for the connect, and again for the answer to `hello`. Default 5000. */
  readonly timeoutMs?: number;
}

export interface CallOptions<M extends Method> {
  /** Aborting ends the connection (which is how a call is cancelled) and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: Methods[M] extends { progress: infer P } ? (progress: P) => void : never;
}

export interface ControlClient {
  /** The supervisor's answer to our hello, sent together with the first call (or by itself, when awaited first). */
  hello(): Promise<Methods['hello']['result']>;
  /** Rejects with the supervisor's TunnelError, or DAEMON_DOWN when the connection ends first. */
  call<M extends Exclude<Method, 'hello'>>(
    method: M,
    params: Methods[M]['params'],
    options?: CallOptions<M>,
  ): Promise<Methods[M]['result']>;
  /** True once the supervisor said that it is on its way out, or ended before it answered our hello. */
  readonly ending: boolean;
  /** True once the supervisor ended the connection without being asked to. */
  readonly lost: boolean;
  /** Resolves when the connection is over, whoever ended it. Never rejects. */
  readonly closed: Promise<void>;
  /** Idempotent. */
  close(): void;
  /** Instead of `close`, before the process ends: so does the connection. To close a socket node:net makes the stream of stderr. */
  leave(): void;
}

/**
 * Connects to the supervisor's socket. Null: nothing listens there.
 * Throws DAEMON_DOWN when the socket's folder belongs to somebody else or the connect takes too long.
 */
export async function connectControl(
  address: string,
  options: ConnectOptions,
): Promise<ControlClient | null> {
  const timeoutMs = options.timeoutMs ?? 5000;
  if (options.owner.platform !== 'win32') {
    // Whoever owns the folder reads our answers to questions: look before the first byte.
    const refused = checkOwnFolder(dirname(address), options.owner);
    if (refused !== null) throw refused;
  }
  const deadline = runningMs() + timeoutMs;
  for (;;) {
    const outcome = await connectOnce(address, Math.max(1, deadline - runningMs()));
    if (outcome === 'absent') return null;
    if (outcome !== 'busy') return new Client(outcome, address, options, timeoutMs);
    if (runningMs() >= deadline) throw silent(address, timeoutMs);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function connectOnce(address: string, timeoutMs: number): Promise<Socket | 'absent' | 'busy'> {
  return new Promise((resolve, reject) => {
    const socket = connect(address);
    const timer = setTimeout(() => {
      socket.destroy();
      resolve('busy');
    }, timeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      // ENOTDIR: a folder of the path is gone and a file has its name. EAGAIN: the backlog is full (unix(7)).
      if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ENOTSOCK'].includes(error.code ?? '')) resolve('absent');
      else if (error.code === 'EAGAIN' || error.code === 'EBUSY') resolve('busy');
      else
        reject(
          new TunnelError('DAEMON_DOWN', `cannot reach the supervisor, on ${address}: ${error.message}`, {
            cause: error,
          }),
        );
    });
  });
}

function silent(address: string, timeoutMs: number): TunnelError {
  return new TunnelError(
    'DAEMON_DOWN',
    `the supervisor gave no answer in ${timeoutMs / 1000}s, on ${address}`,
  );
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly progress: ((progress: unknown) => void) | undefined;
}

class Client implements ControlClient {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #address: string;
  readonly #options: ConnectOptions;
  readonly #timeoutMs: number;
  readonly #pending = new Map<number, Pending>();
  #hello: Promise<Methods['hello']['result']> | null = null;
  #nextId = 1;
  #ending = false;
  #lost = false;
  #greeted = false;
  #failure: TunnelError | null = null;

  constructor(socket: Socket, address: string, options: ConnectOptions, timeoutMs: number) {
    this.#socket = socket;
    this.#address = address;
    this.#options = options;
    this.#timeoutMs = timeoutMs;
    const decode = createDecoder((message) => this.#take(message));
    socket.on('error', () => socket.destroy()); // 'close' follows and rejects what is pending
    socket.on('data', (chunk) => {
      try {
        decode(chunk);
      } catch (thrown) {
        this.#fail(thrown as TunnelError);
      }
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        if (this.#failure === null) {
          this.#lost = true;
          if (!this.#greeted) this.#ending = true;
        }
        this.#fail(new TunnelError('DAEMON_DOWN', `the supervisor ended before it answered, on ${address}`));
        resolve();
      });
    });
  }

  get ending(): boolean {
    return this.#ending;
  }

  get lost(): boolean {
    return this.#lost;
  }

  hello(): Promise<Methods['hello']['result']> {
    if (this.#hello !== null) return this.#hello;
    const token = this.#options.token;
    const answer = this.#request('hello', {
      protocol: protocolVersion.current,
      version: this.#options.version,
      ...(token === undefined || token === null ? {} : { token }),
    }) as Promise<Methods['hello']['result']>;
    const timer = setTimeout(() => this.#fail(silent(this.#address, this.#timeoutMs)), this.#timeoutMs);
    const done = (): void => clearTimeout(timer);
    answer.then(
      () => {
        done();
        this.#greeted = true;
      },
      (error: TunnelError) => {
        done();
        this.#fail(error);
      },
    );
    this.#hello = answer;
    return answer;
  }

  async call<M extends Exclude<Method, 'hello'>>(
    method: M,
    params: Methods[M]['params'],
    options: CallOptions<M> = {},
  ): Promise<Methods[M]['result']> {
    const { signal } = options;
    signal?.throwIfAborted();
    this.#socket.cork(); // hello and the first request leave in one write
    // What is the same in every protocol version needs no greeting (protocol.ts).
    if (method !== 'hand-over') void this.hello();
    const answer = this.#request(method, params, options.onProgress as Pending['progress']);
    this.#socket.uncork();
    if (signal === undefined) return (await answer) as Methods[M]['result'];
    const cancel = (): void => this.#fail(signal.reason);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return (await answer) as Methods[M]['result'];
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  close(): void {
    this.#fail(new TunnelError('DAEMON_DOWN', `the supervisor closed the connection, on ${this.#address}`));
  }

  leave(): void {
    this.#socket.unref();
  }

  #request(method: Method, params: unknown, progress?: Pending['progress']): Promise<unknown> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, progress });
      this.#socket.write(encodeMessage({ id, method, params }));
    });
  }

  #take(message: unknown): void {
    if (typeof message !== 'object' || message === null) return;
    const { id, result, progress, error } = message as Record<string, unknown>;
    // Id 0 is nobody's: an answer to something that could not be read as a request.
    if (id === 0 && isReport(error)) return this.#fail(this.#asError(error));
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (pending === undefined) return;
    if (progress !== undefined) return pending.progress?.(progress);
    this.#pending.delete(id as number);
    if (isReport(error)) pending.reject(this.#asError(error));
    else pending.resolve(result);
  }

  #asError(report: ErrorReport): TunnelError {
    // Only a supervisor on its way out says DAEMON_DOWN.
    if (report.code === 'DAEMON_DOWN') this.#ending = true;
    return new TunnelError(report.code, report.message, { hint: report.hint });
  }

  /** Ends the connection; what is pending and what comes later fails with the first reason given. */
  #fail(reason: unknown): void {
    this.#failure ??=
      reason instanceof TunnelError
        ? reason
        : new TunnelError('DAEMON_DOWN', 'the call was cancelled', { cause: reason });
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(reason);
    this.#socket.destroy();
  }
}

function isReport(value: unknown): value is ErrorReport {
  return typeof value === 'object' && value !== null && 'code' in value && 'message' in value;
}
