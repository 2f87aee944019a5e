// One connection of a command to the supervisor: hello first, then calls. A client that leaves cancels its calls; one that does not read is dropped.
import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { asTunnelError, reportError, TunnelError, type ErrorReport } from '../errors.ts';
import { createDecoder, encodeMessage } from './framing.ts';
import { protocolVersion, type Method, type Methods, type Request } from './protocol.ts';
import { parseRequest, requestId } from './requests.ts';

/** A call as its handler sees it. */
export interface Call<Progress> {
  /** Ends when the client leaves or the server closes. */
  readonly signal: AbortSignal;
  /** Sends a progress message; dropped when the call is over. */
  progress(value: Progress): void;
  /** True while the client has not read what it was sent: a stream of snapshots skips until `whenRead`. */
  readonly behind: boolean;
  /** Resolves when the client has read everything, or left. */
  whenRead(): Promise<void>;
}

export type ProgressOf<M extends Method> = Methods[M] extends { progress: infer P } ? P : never;

/** One function a method; `hello` is answered by the connection itself. */
export type Handlers = {
  readonly [M in Exclude<Method, 'hello'>]: (
    params: Methods[M]['params'],
    call: Call<ProgressOf<M>>,
  ) => Promise<Methods[M]['result']>;
};

export interface ConnectionTerms {
  readonly version: string;
  readonly pid: number;
  readonly config: string;
  /** Expected in `hello`; null on unix sockets, which the file system guards. */
  readonly token: string | null;
  readonly handlers: Handlers;
  /** A reason to refuse every new call (the supervisor is on its way out), or null. */
  readonly refuse: () => TunnelError | null;
  /** A handler threw what is not a TunnelError: a bug of ours. */
  readonly onBug: (error: TunnelError) => void;
  /** Unread bytes that end the connection. */
  readonly backlogLimitBytes: number;
  /** Milliseconds until a connection that said no hello is closed. */
  readonly helloDeadlineMs: number;
}

/** Calls at once on one connection: far above what a command needs. */
const callLimit = 256;

/** Serves one socket until it ends. */
export function serveConnection(socket: Socket, terms: ConnectionTerms): ServedConnection {
  return new Connection(socket, terms);
}

export interface ServedConnection {
  /** Ends it once what was written has left. */
  readonly end: () => void;
  /** Answers every call under way with an error, and ends it then; an idle one ends at once. */
  readonly turnAway: (error: TunnelError) => void;
}

class Connection implements ServedConnection {
  readonly #socket: Socket;
  readonly #terms: ConnectionTerms;
  readonly #leaving = new AbortController();
  readonly #running = new Map<number, Method>();
  #greeted = false;
  #over = false;

  constructor(socket: Socket, terms: ConnectionTerms) {
    this.#socket = socket;
    this.#terms = terms;
    setMaxListeners(callLimit, this.#leaving.signal); // each call may listen; Node would warn in the log at 11
    socket.on('error', () => socket.destroy()); // the client left: 'close' follows and ends its calls
    const decode = createDecoder((message) => this.#take(message));
    const deadline = setTimeout(() => this.#greeted || socket.destroy(), terms.helloDeadlineMs);
    socket.on('data', (chunk) => {
      if (this.#over) return;
      try {
        decode(chunk);
      } catch (thrown) {
        this.#fail(0, asTunnelError(thrown));
      }
    });
    // Half-closed: nobody waits for long calls any more, but what is under way may still be read.
    socket.on('end', () => {
      this.#leaving.abort();
      this.#endWhenIdle();
    });
    socket.on('close', () => {
      clearTimeout(deadline);
      this.#over = true;
      this.#leaving.abort();
    });
  }

  readonly end = (): void => {
    this.#over = true;
    this.#leaving.abort();
    if (this.#socket.destroyed) return;
    this.#socket.end();
    // A client that does not read would keep the socket for ever.
    const patience = setTimeout(() => this.#socket.destroy(), 1000);
    this.#socket.once('close', () => clearTimeout(patience));
  };

  readonly turnAway = (error: TunnelError): void => {
    const report = reportError(error);
    for (const [id, method] of this.#running) if (method !== 'hand-over') this.#answer(id, { error: report });
    this.#leaving.abort();
    this.#endWhenIdle();
  };

  #take(message: unknown): void {
    if (this.#over) return;
    let request: Request;
    try {
      request = parseRequest(message);
    } catch (thrown) {
      const id = requestId(message);
      if (id === null || !this.#greeted) return this.#fail(id ?? 0, asTunnelError(thrown));
      return this.#send({ id, error: reportError(asTunnelError(thrown)) });
    }
    if (request.method === 'hello') return this.#hello(request.id, request.params);
    if (!this.#greeted && !this.#mayPass(request)) {
      return this.#fail(
        request.id,
        new TunnelError(
          'DAEMON_MISMATCH',
          `request failed, on ${request.method}: no hello was said before it`,
        ),
      );
    }
    this.#call(request);
  }

  /** A command of whatever protocol may ask for a supervisor of its own version. */
  #mayPass(request: Request): boolean {
    if (request.method !== 'hand-over') return false;
    const { token } = this.#terms;
    return (this.#greeted = token === null || request.params.token === token);
  }

  #hello(id: number, params: Methods['hello']['params']): void {
    const { token, version, pid, config } = this.#terms;
    const refused = this.#terms.refuse();
    if (refused !== null) return this.#fail(id, refused);
    if (params.protocol < protocolVersion.oldest || params.protocol > protocolVersion.current) {
      return this.#fail(id, otherProtocol(params, version, pid));
    }
    if (token !== null && params.token !== token) {
      return this.#fail(
        id,
        new TunnelError('DAEMON_MISMATCH', 'hello failed, on the control pipe: wrong token'),
      );
    }
    this.#greeted = true;
    const result: Methods['hello']['result'] = { protocol: protocolVersion.current, version, pid, config };
    this.#send({ id, result });
  }

  #call(request: Exclude<Request, { method: 'hello' }>): void {
    const { id, method } = request;
    const refused = this.#terms.refuse();
    if (refused !== null) return this.#send({ id, error: reportError(refused) });
    if (this.#running.has(id) || this.#running.size >= callLimit) {
      return this.#fail(
        id,
        new TunnelError('DAEMON_MISMATCH', `request failed, on ${method}: too many calls, or an id in use`),
      );
    }
    this.#running.set(id, method);
    // One method a handler, by the type of Handlers; the union of both cannot be narrowed together.
    const handler = this.#terms.handlers[method] as (
      params: unknown,
      call: Call<unknown>,
    ) => Promise<unknown>;
    void this.#run(id, () => handler(request.params, this.#callFor(id)));
  }

  async #run(id: number, work: () => Promise<unknown>): Promise<void> {
    try {
      const result = await work();
      this.#answer(id, { result });
    } catch (thrown) {
      const error = asTunnelError(thrown);
      // After the client left, an abort is what we asked for.
      if (error.code === 'INTERNAL' && !this.#leaving.signal.aborted) this.#terms.onBug(error);
      this.#answer(id, { error: reportError(error) });
    } finally {
      if (this.#leaving.signal.aborted) this.#endWhenIdle();
    }
  }

  /** Once a call. */
  #answer(id: number, answer: { readonly result: unknown } | { readonly error: ErrorReport }): void {
    if (this.#running.delete(id)) this.#send({ id, ...answer });
  }

  #callFor(id: number): Call<unknown> {
    const socket = this.#socket;
    return {
      signal: this.#leaving.signal,
      progress: (value) => {
        if (this.#running.has(id)) this.#send({ id, progress: value });
      },
      get behind() {
        return socket.writableLength > 0;
      },
      whenRead: () => whenRead(socket),
    };
  }

  #send(message: unknown): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(encodeMessage(message));
    if (this.#socket.writableLength > this.#terms.backlogLimitBytes) this.#socket.destroy();
  }

  #fail(id: number, error: TunnelError): void {
    this.#send({ id, error: reportError(error) });
    this.end();
  }

  #endWhenIdle(): void {
    if (this.#running.size === 0) this.end();
  }
}

function whenRead(socket: Socket): Promise<void> {
  if (socket.destroyed || socket.writableLength === 0) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', check).off('close', done);
      resolve();
    };
    const check = (): void => {
      if (socket.writableLength === 0) done();
    };
    socket.on('drain', check).on('close', done);
    // 'drain' comes only after a write that answered false; an empty write calls back once all before it have left.
    socket.write('', done);
  });
}

function otherProtocol(params: Methods['hello']['params'], version: string, pid: number): TunnelError {
  const ours = `${protocolVersion.oldest}-${protocolVersion.current}`;
  return new TunnelError(
    'DAEMON_MISMATCH',
    `the supervisor (pid ${pid}, version ${version}) speaks protocol ${ours}, and this command ${params.protocol}`,
    // In words: commands of every version read them.
    { hint: 'tunnel restart --supervisor    # the tunnels stay up' },
  );
}
