// Connections accepted while the link is away, held until it is back, their time runs out, or the tunnel goes down (SPEC 3); and the
// reading of a client until it is served.
import type { Socket } from 'node:net';
import { TunnelError } from '../errors.ts';
import type { CarrierParts, LinkView } from '../model/carrier.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Origin, Session } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import type { FirstBytes } from './proxy-request.ts';
import { resetSocket } from '../model/reset-socket.ts';
import { wasReset } from './reset.ts';
import { localConnectionState } from './tcp-table.ts';

/** More than these are reset at once. */
const maxHeld = 128;
/** How long a client waits that comes late for a TCP connect to get through. */
const lateMs = 3000;
/** How long a connection that woke a lazy link is held when the tunnel refuses while it is not up. */
const wakeMs = 30_000;

/** A connection that can wait for the link. */
export interface Holdable {
  readonly client: Client;
  /** The link is there. */
  serve(session: Session): void;
  /** Ends it now, as a fault. */
  reset(error: TunnelError): void;
}

interface Held {
  readonly connection: Holdable;
  /** The outage's failures when a late one came; null for one that is not late. */
  readonly lateSince: number | null;
  readonly cancels: Cancel[];
}

export class HeldConnections {
  readonly #parts: CarrierParts;
  readonly #held = new Set<Held>();
  #hold: Hold;
  #view: LinkView;

  /** The link counts as away until `link` is told otherwise. */
  constructor(hold: Hold, parts: CarrierParts) {
    this.#hold = hold;
    this.#parts = parts;
    this.#view = { state: 'away', sinceMs: parts.clock.monotonic(), failures: 0, reached: false };
  }

  get count(): number {
    return this.#held.size;
  }

  /** With `hold: refuse` nothing is accepted while the link is away. */
  get refuses(): boolean {
    return this.#hold.kind === 'refuse';
  }

  /** With `hold: refuse` there is a listener only while the link is up, or could be woken. */
  get mayListen(): boolean {
    return !this.refuses || this.#view.state === 'up' || this.#view.state === 'asleep';
  }

  /** Until when a client may wait for a server of which nobody knows yet whether it lives. Monotonic. */
  waitsUntilMs(client: Client): number {
    return client.acceptedMs + (this.#hold.kind === 'wait' ? this.#hold.ms : 0);
  }

  replace(hold: Hold): void {
    this.#hold = hold;
  }

  /**
   * Serves, holds or resets. `deadSession`: the session that was just lost under it, not to be used again even if
   * the link still calls it up.
   */
  admit(connection: Holdable, deadSession: Session | null = null): void {
    const view = this.#view;
    switch (view.state) {
      case 'up':
        if (view.session === deadSession) this.#holdUnlessZero(connection, null);
        else connection.serve(view.session);
        return;
      case 'asleep':
        return this.#holdUnlessZero(connection, null);
      case 'away':
        return this.#holdUnlessZero(connection, this.#isLate(view) ? view.failures : null);
      case 'blocked':
        if (view.personPresent) this.#holdUnlessZero(connection, null);
        else connection.reset(refusal('LINK_LOST', 'the link needs you'));
        return;
    }
  }

  link(view: LinkView): void {
    this.#view = view;
    for (const held of Array.from(this.#held)) {
      if (view.state === 'up') {
        this.#forget(held);
        held.connection.serve(view.session);
      } else if (view.state === 'blocked' && !view.personPresent) this.#refuse(held, 'the link needs you');
      else if (view.state === 'away' && held.lateSince !== null && view.failures > held.lateSince)
        this.#refuse(held, 'the server cannot be reached');
    }
    if (view.state === 'asleep' && this.#held.size > 0) this.#parts.events.knock();
  }

  resetAll(error: TunnelError): void {
    for (const held of Array.from(this.#held)) {
      this.#forget(held);
      held.connection.reset(error);
    }
  }

  /** Late: the link has been away longer than anybody is held. */
  #isLate(away: { readonly sinceMs: number }): boolean {
    return this.#hold.kind === 'wait' && this.#parts.clock.monotonic() - away.sinceMs > this.#hold.ms;
  }

  #holdUnlessZero(connection: Holdable, lateSince: number | null): void {
    const hold = this.#hold;
    if (hold.kind === 'refuse') return this.#keep(connection, wakeMs, null); // accepted before the listener closed
    if (hold.ms > 0) return this.#keep(connection, hold.ms, lateSince);
    this.#parts.events.knock();
    connection.reset(refusal('LINK_LOST', 'the link is away, and hold is 0s'));
  }

  #keep(connection: Holdable, ms: number, lateSince: number | null): void {
    const { clock, events } = this.#parts;
    const { client } = connection;
    if (client.ended() || client.gone()) return connection.reset(refusal('LINK_LOST', leftWhileHeld));
    if (this.#held.size >= maxHeld)
      return connection.reset(refusal('LINK_LOST', `${maxHeld} connections wait already`));
    const held: Held = { connection, lateSince, cancels: [] };
    this.#held.add(held);
    const leave = (): void => this.#refuse(held, leftWhileHeld);
    client.watch({ left: leave, ended: leave });
    const restMs = Math.max(0, client.acceptedMs + ms - clock.monotonic());
    held.cancels.push(
      clock.schedule(restMs, () => {
        this.#refuse(held, `held for ${ms / 1000}s, and the link is not back`, 'TIMED_OUT');
      }),
    );
    if (lateSince !== null) held.cancels.push(clock.schedule(lateMs, () => this.#giveUpLate(held)));
    if (this.#held.size === 1 || lateSince !== null) events.knock();
    events.changed();
  }

  #giveUpLate(held: Held): void {
    if (this.#view.state === 'away' && !this.#view.reached)
      this.#refuse(held, `the server does not answer for ${lateMs / 1000}s`, 'TIMED_OUT');
  }

  #refuse(held: Held, why: string, code: 'LINK_LOST' | 'TIMED_OUT' = 'LINK_LOST'): void {
    this.#forget(held);
    held.connection.reset(refusal(code, why));
  }

  #forget(held: Held): void {
    this.#held.delete(held);
    for (const cancel of held.cancels) cancel();
    this.#parts.events.changed();
  }
}

const leftWhileHeld = 'the client left while it was held';

function refusal(code: 'LINK_LOST' | 'TIMED_OUT', why: string): TunnelError {
  return new TunnelError(code, `client reset: ${why}`);
}

/** So many bytes of a client are kept until the client is served (SPEC 3). */
const keepBytes = 64 * 1024;
/** Each piece costs memory of its own: more than these become one. */
const mostPieces = 64;
/** How often a connection that is full, and so no longer read, is looked at. */
const lookEveryMs = 1000;

/** Whoever waits for a client, and wants to know when it leaves. Replaced by each `watch`. */
interface ClientWatcher {
  /** The client reset or closed; the socket is gone, or will be at once. Called at most once. */
  left(): void;
  /** The client half-closed: it sends nothing more, and can still be answered. */
  ended?(): void;
}

/** An accepted connection, read so that its leaving is seen before anybody serves it. */
export class Client implements FirstBytes {
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
  #watcher: ClientWatcher | null = null;
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
    this.#kept.push(Buffer.from(chunk)); // of a shared buffer (reads.ts)
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

  watch(watcher: ClientWatcher): void {
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
