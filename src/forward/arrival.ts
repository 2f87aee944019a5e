// An arrival: an accepted connection that is read, so that leaving is seen, before anybody serves it.
import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Origin } from '../model/session.ts';
import type { Preface } from './handshake.ts';
import { localConnectionState } from './tcp-table.ts';
import { resetSocket, wasReset } from './reset.ts';

/** What is kept of a connection's bytes until it is served (SPEC 3). */
const keepBytes = 64 * 1024;
/** Each piece costs memory of its own: more than these become one. */
const mostPieces = 64;
/** How often a connection that is full, and so no longer read, is looked at. */
const lookEveryMs = 1000;

/** Who waits for this connection, and wants to know when it leaves. Replaced by each `watch`. */
export interface ArrivalWatcher {
  /** It was reset or closed; the socket is gone, or will be at once. Called at most once. */
  left(): void;
  /** It half-closed: nothing more will come, it can still be answered. */
  ended?(): void;
}

export class Arrival implements Preface {
  readonly socket: Socket;
  /** Monotonic. */
  readonly acceptedMs: number;
  /** The client as the server's log will name it. A unix client has no address: loopback, port 0. */
  readonly origin: Origin;
  readonly #clock: Clock;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #ended = false;
  #gone = false;
  #watcher: ArrivalWatcher | null = null;
  #notify: (() => void) | null = null;
  #stopLooking: Cancel | null = null;

  /** Starts to read. */
  constructor(socket: Socket, clock: Clock) {
    this.socket = socket;
    this.#clock = clock;
    this.acceptedMs = clock.monotonic();
    this.origin = { host: socket.remoteAddress ?? '127.0.0.1', port: socket.remotePort ?? 0 };
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onGone);
    socket.on('close', this.#onGone);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#kept.push(chunk);
    if (this.#kept.length > mostPieces) this.#kept = [Buffer.concat(this.#kept)];
    this.#keptBytes += chunk.length;
    if (this.#keptBytes >= keepBytes) {
      this.socket.pause();
      this.#look(); // a paused socket sees neither the end nor the reset of its client (SSH2.md 2.6)
    }
    this.#notify?.();
  };

  readonly #onEnd = (): void => {
    if (this.#ended || this.#gone) return;
    if (wasReset(this.socket)) {
      this.#onGone();
      this.socket.destroy();
      return;
    }
    this.#halfClosed();
  };

  #halfClosed(): void {
    if (this.#ended || this.#gone) return;
    this.#ended = true;
    this.#stopLook();
    this.#notify?.();
    this.#watcher?.ended?.();
  }

  readonly #onGone = (): void => {
    if (this.#gone) return;
    this.#gone = true;
    this.#stopLook();
    this.#kept = [];
    this.#watcher?.left();
  };

  #look(): void {
    this.#stopLook();
    this.#stopLooking = this.#clock.schedule(lookEveryMs, () => {
      void localConnectionState(this.socket).then((state) => {
        if (this.#stopLooking === null) return;
        if (state === 'gone') {
          this.#onGone();
          resetSocket(this.socket);
        } else if (state === 'half-closed') this.#halfClosed();
        else this.#look();
      });
    });
  }

  #stopLook(): void {
    this.#stopLooking?.();
    this.#stopLooking = null;
  }

  /** True once the client has half-closed. */
  ended(): boolean {
    return this.#ended;
  }

  /** True once the client has reset or closed, or `reset` was called. */
  gone(): boolean {
    return this.#gone;
  }

  watch(watcher: ArrivalWatcher): void {
    this.#watcher = watcher;
  }

  notify(listener: (() => void) | null): void {
    this.#notify = listener;
  }

  take(): Buffer[] {
    const taken = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    this.#stopLook();
    if (!this.#ended && !this.#gone) this.socket.resume();
    return taken;
  }

  putBack(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#kept.unshift(bytes);
    this.#keptBytes += bytes.length;
  }

  send(bytes: Buffer): void {
    if (!this.#gone) this.socket.write(bytes);
  }

  /** Hands the socket over for good, without listeners of ours: listen to it in the same tick. */
  release(): { readonly early: readonly Buffer[]; readonly ended: boolean } {
    this.#stopLook();
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    this.socket.off('error', this.#onGone);
    this.socket.off('close', this.#onGone);
    // An end that only the kernel told of is still to come, behind what was not read.
    return { early: this.#kept, ended: this.#ended && this.socket.readableEnded };
  }

  reset(): void {
    this.#gone = true;
    this.#stopLook();
    this.#kept = [];
    resetSocket(this.socket);
  }
}
