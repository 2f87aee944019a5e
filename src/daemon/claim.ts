// The claim to be the one supervisor of a config, and its presence on this machine: lock, control socket and address, taken and given
// back in order.
import { randomBytes } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { connectControl } from '../control/client.ts';
import type { ConnectionTerms } from '../control/connection.ts';
import type { Owner } from '../files/folders.ts';
import { listenControl, type ControlServer } from '../control/server.ts';
import { asTunnelError, TunnelError } from '../errors.ts';
import { isUnwritable } from '../files/errno.ts';
import { version } from '../model/version.ts';
import type { SupervisorPlaces } from '../paths.ts';
import type { EngineLog } from '../supervisor/engine.ts';
import { removeAddress, writeAddress } from '../control/address.ts';
import { takeLock, takeLockOver, type LockOutcome } from '../files/lock.ts';
import { connectSupervisor } from '../control/reach.ts';

/** The claim to be the one supervisor of a config. */
export type Claim =
  { readonly kind: 'ours'; readonly lock: SupervisorLock } | { readonly kind: 'held'; readonly pid: number };

/** The lock of one supervisor: it may pass to another process, and come back where that one fails. */
export class SupervisorLock {
  readonly #path: string;
  readonly #platform: NodeJS.Platform;
  #nonce = '';
  #release = (): void => undefined;

  constructor({ lock }: SupervisorPlaces, { platform }: Owner) {
    this.#path = lock;
    this.#platform = platform;
  }

  /** Empty where there is none: the state folder cannot be written. */
  get nonce(): string {
    return this.#nonce;
  }

  take(): LockOutcome {
    return this.#took(takeLock(this.#path, this.#platform));
  }

  /** From a living holder that agreed. */
  takeOver(nonce: string): LockOutcome {
    return this.#took(takeLockOver(this.#path, nonce, this.#platform));
  }

  /** Idempotent; does nothing to a lock that is another process's by now. */
  release(): void {
    this.#release();
  }

  #took(outcome: LockOutcome): LockOutcome {
    if (outcome.kind === 'taken') {
      this.#nonce = outcome.nonce;
      this.#release = outcome.release;
    }
    return outcome;
  }
}

/**
 * Takes the lock. `wait`: one on its way out is waited for. Without a state folder that can be written there is no
 * lock, and only a supervisor that answers at the default socket counts.
 */
export async function claim(
  at: SupervisorPlaces,
  owner: Owner,
  terms: { readonly writable: boolean; readonly wait: boolean },
): Promise<Claim> {
  const lock = new SupervisorLock(at, owner);
  for (;;) {
    if (terms.writable) {
      const outcome = lock.take();
      if (outcome.kind === 'taken') return { kind: 'ours', lock };
      if (!terms.wait) return outcome;
    }
    const other = terms.writable ? await connectSupervisor(at, owner) : await atDefaultSockets(at, owner);
    if (other !== null) {
      const { pid } = await other.hello();
      other.close();
      return { kind: 'held', pid };
    }
    if (!terms.writable) return { kind: 'ours', lock };
  }
}

async function atDefaultSockets(at: SupervisorPlaces, owner: Owner): ReturnType<typeof connectControl> {
  for (const socket of socketsOf(at)) {
    const client = await connectControl(socket, { version, owner });
    if (client !== null) return client;
  }
  return null;
}

function socketsOf(at: SupervisorPlaces): readonly [string, ...string[]] {
  return at.spareSocket === null ? [at.socket] : [at.socket, at.spareSocket];
}

/** $XDG_RUNTIME_DIR of somebody else (under su) is not used, though root could: its owner would find our folder there. */
function usableSockets(at: SupervisorPlaces, owner: Owner): readonly [string, ...string[]] {
  const { socket, spareSocket } = at;
  if (spareSocket === null || owner.platform === 'win32') return [socket];
  const runtime = statSync(dirname(dirname(socket)), { throwIfNoEntry: false });
  return runtime !== undefined && runtime.uid !== owner.uid ? [spareSocket] : [socket, spareSocket];
}

export interface PresenceOptions extends Pick<ConnectionTerms, 'handlers' | 'refuse' | 'onBug'> {
  readonly at: SupervisorPlaces;
  readonly owner: Owner;
  readonly config: string;
  readonly writable: boolean;
  readonly log: EngineLog;
  readonly onConnections: (open: number) => void;
}

export interface Presence {
  readonly connections: number;
  /** No new connection finds us from here on. */
  withdraw(): Promise<void>;
  /** After `withdraw`: found again. */
  comeBack(): Promise<void>;
  /** Answers every call under way but a handover with an error: another supervisor is there for it. */
  turnAway(error: TunnelError): void;
  /** Ends the connections. */
  close(): Promise<void>;
  /** In the last moment of a process: removes the files, waits for nothing. */
  vanish(): void;
}

/**
 * Listens for commands and writes down where. Null: nothing at all can be written here (a container), and tunnels are
 * worth more than commands. Throws DAEMON_DOWN otherwise.
 */
export async function appear(options: PresenceOptions): Promise<Presence | null> {
  try {
    return await listen(options);
  } catch (thrown) {
    const error = asTunnelError(thrown);
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    if (options.writable || !isUnwritable(code)) throw error;
    options.log('warn', 'socket', `${error.message}; no command can reach this supervisor`);
    return null;
  }
}

async function listen(options: PresenceOptions): Promise<Presence> {
  const { at, owner, writable, log, config } = options;
  // A named pipe can be opened by others; a token that only we can read keeps them out.
  const token = owner.platform === 'win32' ? randomBytes(24).toString('hex') : null;
  const remember = (socket: string): void => {
    if (writable) writeAddress(at.address, { pid: process.pid, socket, token, config });
  };
  const server = await listenControl({
    ...options,
    addresses: usableSockets(at, owner),
    version,
    pid: process.pid,
    token,
    onRemade(failure, address) {
      if (failure !== null) return log('error', 'socket', `the control socket is gone: ${failure.message}`);
      log('warn', 'socket', `the control socket was gone; it was made again, ${address}`);
      try {
        remember(address);
      } catch (thrown) {
        const { message } = asTunnelError(thrown); // a full disk: where it is by default, commands find it all the same
        log('error', 'socket', `its address could not be written down, ${at.address}: ${message}`);
      }
    },
  });
  remember(server.address);
  return presenceOf(server, { at, writable, remember: () => remember(server.address) });
}

interface PresenceFiles extends Pick<PresenceOptions, 'at' | 'writable'> {
  readonly remember: () => void;
}

function presenceOf(server: ControlServer, { at, writable, remember }: PresenceFiles): Presence {
  const forget = (): void => {
    if (writable) removeAddress(at.address);
  };
  return {
    get connections() {
      return server.connections;
    },
    async withdraw() {
      await server.stopListening();
      forget();
    },
    async comeBack() {
      await server.listenAgain();
      remember();
    },
    turnAway: (error) => server.turnAway(error),
    close: () => server.close(),
    vanish() {
      rmSync(server.address, { force: true });
      forget();
    },
  };
}

/** What a supervisor answers that is about to end. */
export function onTheWayOut(config: string): TunnelError {
  return new TunnelError('DAEMON_DOWN', `the supervisor of ${config} is on its way out`, {
    hint: { command: 'up' },
  });
}
