// An arrival: an accepted connection that is read, so that leaving is seen, before anybody serves it.
import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Origin } from '../model/session.ts';
import { localConnectionState } from './proc-net.ts';
import { resetSocket } from './reset.ts';

/** What is kept of a connection's bytes until it is served (SPEC 3). */
const keepBytes = 64 * 1024;
/** How often a connection that is full, and so no longer read, is looked at. */
const lookEveryMs = 1000;

/** Who waits for this connection, and wants to know what it does. Replaced by each `watch`. */
export interface ArrivalWatcher {
  /** It was reset or closed; the socket is gone, or will be at once. Called at most once. */
  left(reason: string): void;
  /** It half-closed: nothing more will come, it can still be answered. */
  ended?(): void;
  /** It has sent something: `take` has it. */
  arrived?(): void;
}

export interface Arrival {
  readonly socket: Socket;
  readonly acceptedMs: number;
  readonly origin: Origin;
  /** True once the client has half-closed. */
  ended(): boolean;
  /** True once the client has reset or closed, or `reset` was called. */
  gone(): boolean;
  watch(watcher: ArrivalWatcher): void;
  /** Hands over what has come so far, and reads on. */
  take(): Buffer[];
  /** Puts bytes back in front that `take` gave. */
  putBack(bytes: Buffer): void;
  /** Hands the socket over for good, without listeners of ours: listen to it in the same tick. */
  release(): { readonly early: readonly Buffer[]; readonly ended: boolean };
  reset(): void;
}

/** Starts to read an accepted connection. */
export function receive(socket: Socket, clock: Clock): Arrival {
  let kept: Buffer[] = [];
  let keptBytes = 0;
  let ended = false;
  let gone = false;
  let watcher: ArrivalWatcher | null = null;
  let stopLooking: Cancel | null = null;

  const leave = (reason: string): void => {
    if (gone) return;
    gone = true;
    stopLooking?.();
    kept = [];
    watcher?.left(reason);
  };
  const end = (): void => {
    if (ended || gone) return;
    ended = true;
    watcher?.ended?.();
  };
  const look = (): void => {
    stopLooking = clock.schedule(lookEveryMs, () => {
      void localConnectionState(socket).then((state) => {
        if (stopLooking === null || gone) return;
        if (state === 'gone') {
          leave('reset by the client');
          resetSocket(socket);
        }
        if (state === 'half-closed') end();
        if (!gone && !ended) look();
      });
    });
  };
  const stopLook = (): void => {
    stopLooking?.();
    stopLooking = null;
  };
  const onData = (chunk: Buffer): void => {
    kept.push(chunk);
    keptBytes += chunk.length;
    if (keptBytes >= keepBytes) {
      socket.pause();
      stopLook();
      look(); // a paused socket sees neither the end nor the reset of its client (SSH2.md 2.6)
    }
    watcher?.arrived?.();
  };
  const onError = (error: Error): void => leave(error.message);
  const onClose = (): void => leave('closed by the client');
  socket.on('data', onData);
  socket.on('end', end);
  socket.on('error', onError);
  socket.on('close', onClose);

  return {
    socket,
    acceptedMs: clock.now(),
    origin: originOf(socket),
    ended: () => ended,
    gone: () => gone,
    watch: (given) => (watcher = given),
    take() {
      const taken = kept;
      kept = [];
      keptBytes = 0;
      stopLook();
      if (!ended && !gone) socket.resume();
      return taken;
    },
    putBack(bytes) {
      if (bytes.length === 0) return;
      kept.unshift(bytes);
      keptBytes += bytes.length;
    },
    release() {
      stopLook();
      socket.off('data', onData);
      socket.off('end', end);
      socket.off('error', onError);
      socket.off('close', onClose);
      return { early: kept, ended: ended && socket.readableEnded };
    },
    reset() {
      gone = true;
      stopLook();
      kept = [];
      resetSocket(socket);
    },
  };
}

/** The client as the server's log will name it. A unix client has no address: loopback, port 0. */
export function originOf(socket: Socket): Origin {
  return { host: socket.remoteAddress ?? '127.0.0.1', port: socket.remotePort ?? 0 };
}
