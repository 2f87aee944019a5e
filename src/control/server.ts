// The supervisor's end of the control socket: 0600 in a folder of our own, and made again when somebody removed it.
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { asTunnelError, TunnelError } from '../errors.ts';
import { checkSocketPath } from '../paths.ts';
import { serveConnection, type ConnectionTerms, type ServedConnection } from './connection.ts';
import { ensureOwnFolder, type Owner } from '../files/folders.ts';
import { lineLimitBytes } from './protocol.ts';

export interface ControlServerOptions extends Omit<ConnectionTerms, 'backlogLimitBytes' | 'helloDeadlineMs'> {
  /**
   * Paths of the socket, or the name of the pipe on Windows. The caller holds the lock that makes them ours alone. The
   * first is used; a next one where the system does not let us have it ($XDG_RUNTIME_DIR after a logout).
   */
  readonly addresses: readonly [string, ...string[]];
  readonly owner: Owner;
  readonly backlogLimitBytes?: number;
  readonly helloDeadlineMs?: number;
  /** How often the socket file is looked for. SPEC 1: made again within 5 s. */
  readonly lookEveryMs?: number;
  /** Called when the socket was gone. Null: the server listens again, at `address`; else why it cannot. A lasting failure is told once. */
  readonly onRemade?: (failure: TunnelError | null, address: string) => void;
  /** Called with the number of open connections whenever it changes. */
  readonly onConnections?: (open: number) => void;
}

export interface ControlServer {
  /** Where it listens. */
  readonly address: string;
  readonly connections: number;
  /** Stops listening and removes the socket; connections go on. Idempotent. */
  stopListening(): Promise<void>;
  /** Listens again after `stopListening`. Throws as `listenControl`. */
  listenAgain(): Promise<void>;
  /** Answers every call but a handover with an error. */
  turnAway(error: TunnelError): void;
  /** Ends everything: what was written still leaves. Idempotent. */
  close(): Promise<void>;
}

/** Throws DAEMON_DOWN when the folder is not ours alone, the path is too long, or the socket cannot be bound. */
export async function listenControl(options: ControlServerOptions): Promise<ControlServer> {
  const control = new Control(options);
  await control.listen();
  return control;
}

class Control implements ControlServer {
  readonly #options: ControlServerOptions;
  readonly #terms: ConnectionTerms;
  readonly #open = new Map<Socket, ServedConnection>();
  #server: Server | null = null;
  #address: string;
  #inode: bigint | null = null;
  #failure: string | null = null;
  #lookout: NodeJS.Timeout | null = null;
  #over = false;

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#address = options.addresses[0];
    this.#terms = { backlogLimitBytes: 2 * lineLimitBytes, helloDeadlineMs: 10_000, ...options };
  }

  get address(): string {
    return this.#address;
  }

  get connections(): number {
    return this.#open.size;
  }

  async listen(): Promise<void> {
    await this.#bind();
    if (this.#options.owner.platform === 'win32') return; // a pipe has no name that could be removed
    const look = (): void => void this.#lookAgain();
    this.#lookout = setInterval(look, this.#options.lookEveryMs ?? 2000).unref();
  }

  async stopListening(): Promise<void> {
    this.#over = true;
    if (this.#lookout !== null) clearInterval(this.#lookout);
    this.#lookout = null;
    await this.#unbind();
  }

  async listenAgain(): Promise<void> {
    this.#over = false;
    await this.listen();
  }

  turnAway(error: TunnelError): void {
    for (const connection of this.#open.values()) connection.turnAway(error);
  }

  async close(): Promise<void> {
    await this.stopListening();
    const gone = [...this.#open.keys()].map(
      (socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
    );
    for (const { end } of this.#open.values()) end();
    await Promise.all(gone);
  }

  async #bind(): Promise<void> {
    const [first, ...others] = this.#options.addresses;
    try {
      return await this.#bindAt(first);
    } catch (thrown) {
      if (thrown instanceof TunnelError) throw thrown;
      for (const other of others) {
        try {
          return await this.#bindAt(other);
        } catch (again) {
          if (again instanceof TunnelError) throw again;
        }
      }
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new TunnelError('DAEMON_DOWN', `listening for commands failed, on ${first}: ${why}`, {
        cause: thrown,
      });
    }
  }

  /** Throws a TunnelError where the place must not be used, a system error where it cannot be had. */
  async #bindAt(address: string): Promise<void> {
    const { owner } = this.#options;
    const isPath = owner.platform !== 'win32';
    checkSocketPath(address, owner.platform);
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    try {
      if (isPath) {
        ensureOwnFolder(dirname(address), owner);
        rmSync(address, { force: true }); // what lies here is of a supervisor that is gone: we hold the lock
      }
      await listening(server, address);
      if (isPath) {
        chmodSync(address, 0o600);
        this.#inode = lstatSync(address, { bigint: true }).ino;
      }
    } catch (thrown) {
      server.close();
      throw thrown;
    }
    this.#server = server;
    this.#address = address;
  }

  async #unbind(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    // Closing a listening unix socket also unlinks its path (libuv does): only what is ours may go.
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      // Its callback waits for the connections; listening has ended already.
      if (server.listening === false) resolve();
    });
  }

  /** Somebody (a temp cleaner, a person) removed or replaced the socket: bind it anew. Connections live on. */
  async #lookAgain(): Promise<void> {
    if (this.#over || this.#server === null || this.#present()) return;
    await this.#unbind();
    let failure: TunnelError | null = null;
    try {
      await this.#bind();
    } catch (thrown) {
      failure = asTunnelError(thrown);
      this.#server = createServer(); // nothing listens now; the next look tries again
      this.#inode = null;
    }
    if (this.#over) return this.#unbind();
    if (failure === null || failure.message !== this.#failure)
      this.#options.onRemade?.(failure, this.#address);
    this.#failure = failure?.message ?? null;
  }

  #present(): boolean {
    try {
      return lstatSync(this.#address, { bigint: true }).ino === this.#inode;
    } catch {
      return false; // gone, or its folder is
    }
  }

  #accept(socket: Socket): void {
    this.#open.set(socket, serveConnection(socket, this.#terms));
    this.#options.onConnections?.(this.#open.size);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#options.onConnections?.(this.#open.size);
    });
  }
}

function listening(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      // accept(2) may fail later (EMFILE): the client sees a closed connection and the server goes on.
      server.on('error', () => undefined);
      resolve();
    });
  });
}
