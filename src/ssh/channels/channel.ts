// One channel: window accounting in both directions, a bounded queue out, and exactly one `closed`.
//
//   open ──our end()──▶ sent EOF ─┐
//     │                           ├─ both CLOSE exchanged ─▶ over(clean)
//     └──their EOF──▶ got EOF ────┘      link lost at any time ─▶ over(not clean)
import type { Channel, ChannelReader } from '../../model/session.ts';
import { maxPacket, type Wire } from '../ssh2/wire.ts';
import { DeliveredMemory, type ReadSlabs } from './buffers.ts';
import { initialTarget, tune, windowLimits, type WindowBudget } from './window.ts';

/** What a channel needs of its connection. */
export interface ChannelHome {
  readonly wire: Wire;
  readonly budget: WindowBudget;
  /** Where delivered bytes lie, when that memory is used again; null when it is not. */
  readonly slabs: ReadSlabs | null;
  /** Round trip of the idle link in milliseconds, null when not measured yet. */
  readonly rttMs: () => number | null;
  /** The last window that a channel has come to, in bytes; 0: none has changed. */
  served: number;
  nowMs(): number;
  /** True when the transport has as much queued as it should. */
  crowded(): boolean;
  /** Asks for a turn to send when the transport has room again. */
  waitForRoom(channel: OpenChannel): void;
  /** A reader threw: a bug, reported; the channel is closed. */
  bug(thrown: unknown): void;
  /** We have closed it, and the server has not yet. */
  closing(): void;
  /** The number is free again. */
  over(channel: OpenChannel): void;
}

/** What the wire's events do to a channel. */
export interface OpenChannel extends Channel {
  readonly id: number;
  readonly remoteId: number;
  /** `home.closing` was called. */
  readonly closing: boolean;
  received(chunk: Buffer): void;
  receivedExtended(bytes: number): void;
  granted(bytes: number): void;
  ended(): void;
  closedByPeer(): void;
  /** The transport has room: send what is queued, or let the writer go on. */
  turn(): void;
  /** The link is gone. */
  lost(): void;
}

/** Small writes (keystrokes, requests) do not wait behind a crowded transport's bulk. */
const interactive = 2048;

/** A peer that takes one byte a packet must not keep everybody else waiting: so many packets, then the next one's turn. */
const packetsATurn = 64;

/** Smaller pieces than this cost more than they hold. */
const small = 4096;
/** So many may be on their way through a reader before small ones are put together. */
const mostPieces = 1024;
const roomFor = 32 * 1024;

type ReaderEvent = (reader: ChannelReader) => void;

export class SshChannel implements OpenChannel {
  readonly id: number;
  readonly #home: ChannelHome;
  /** The server's number of the channel. */
  readonly remoteId: number;
  readonly #packet: number;
  #reader: ChannelReader | null = null;
  /** What happened before a reader was attached. */
  #early: ReaderEvent[] | null = [];
  #sendWindow: number;
  #queue: Buffer[] = [];
  #blocked = false;
  #waiting = false;
  #ending = false;
  #sentEnd = false;
  #sentClose = false;
  #gotEnd = false;
  #closing = false;
  #over = false;
  /** What the peer may still send. */
  #window: number;
  /** Received and not yet consumed. */
  #buffered = 0;
  readonly #small = new SmallPieces();
  readonly #delivered: DeliveredMemory;
  /** What the window is kept at, and what came in since the last look at it. */
  #target: number;
  #fresh = 0;
  #sinceMs: number;
  #grew = false;

  constructor(
    home: ChannelHome,
    ids: { readonly id: number; readonly remoteId: number },
    peer: { readonly window: number; readonly packetSize: number },
    window: number,
  ) {
    this.#home = home;
    this.id = ids.id;
    this.remoteId = ids.remoteId;
    this.#sendWindow = peer.window;
    this.#packet = Math.max(1, Math.min(peer.packetSize, maxPacket));
    this.#window = window;
    this.#delivered = new DeliveredMemory(home.slabs);
    this.#target = window;
    this.#sinceMs = home.nowMs();
    home.budget.open += 1;
    home.budget.used += window;
  }

  get closing(): boolean {
    return this.#closing;
  }

  attach(reader: ChannelReader): void {
    if (this.#reader !== null) return this.#home.bug(new Error('a channel has one reader'));
    this.#reader = reader;
    if (reader.letsGo !== true) this.#delivered.readerKeeps();
    if (this.#early?.length === 0) this.#early = null;
    // in its own turn, so that the caller is done with attaching; what comes meanwhile queues behind
    else queueMicrotask(() => this.#replay());
  }

  #replay(): void {
    const early = this.#early ?? [];
    for (let next = early.shift(); next !== undefined; next = early.shift()) this.#call(next);
    this.#early = null;
  }

  #tell(event: ReaderEvent): void {
    if (this.#early === null) this.#call(event);
    else this.#early.push(event);
  }

  #call(event: ReaderEvent): void {
    try {
      if (this.#reader !== null) event(this.#reader);
    } catch (thrown) {
      this.#home.bug(thrown);
      this.close();
    }
  }

  received(chunk: Buffer): void {
    this.#window -= chunk.length;
    // nothing uses no window: a server could send it for ever
    if (chunk.length === 0 || this.#sentClose || this.#gotEnd || this.#over) return;
    // a peer that sends beyond its window would fill our memory (RFC 4254 5.2 forbids it); one packet of grace
    if (this.#window < -maxPacket) return this.close();
    this.#buffered += chunk.length;
    this.#fresh += chunk.length;
    if (!this.#small.keep(chunk)) this.#deliver(chunk);
    else if (this.#small.full) this.#flush();
  }

  #flush(): void {
    const gathered = this.#small.take();
    if (gathered !== null && !this.#sentClose) this.#deliver(gathered);
  }

  #deliver(chunk: Buffer): void {
    if (this.#small.waiting) this.#flush();
    this.#small.delivered();
    if (this.#early !== null || this.#reader === null) {
      const kept = this.#delivered.waits(chunk);
      return this.#tell((reader) => reader.data(kept));
    }
    try {
      this.#reader.data(this.#delivered.delivered(chunk)); // without a closure: this is the hot path
    } catch (thrown) {
      this.#home.bug(thrown);
      this.close();
    }
  }

  receivedExtended(bytes: number): void {
    this.#window -= bytes;
    this.#refill();
  }

  consumed(bytes: number): void {
    this.#small.consumed(bytes, this.#buffered);
    this.#buffered -= bytes;
    this.#delivered.consumed(bytes);
    if (this.#small.waiting) this.#flush();
    this.#refill();
  }

  /** Tops the window up once an eighth of it is owed: often enough to keep it open, rare enough to cost nothing. */
  #refill(): void {
    if (this.#gotEnd || this.#sentClose || this.#over) return;
    if (this.#target - this.#window - this.#buffered < this.#target / 8) return;
    this.#tune();
    const grant = this.#target - this.#window - this.#buffered;
    if (grant <= 0) return;
    this.#window += grant;
    this.#home.wire.adjust(this.remoteId, grant);
  }

  #tune(): void {
    const { budget } = this.#home;
    const before = {
      target: this.#target,
      received: this.#fresh,
      sinceMs: this.#sinceMs,
      grew: this.#grew,
    };
    const now = {
      ms: this.#home.nowMs(),
      rttMs: this.#home.rttMs(),
      spare: budget.total - budget.used,
      open: budget.open,
    };
    const after = tune(before, now, windowLimits);
    if (after.target !== before.target) {
      budget.used += after.target - before.target;
      this.#target = after.target;
      this.#home.served = after.target;
    }
    this.#grew = after.grew;
    this.#fresh = after.received;
    this.#sinceMs = after.sinceMs;
  }

  write(chunk: Buffer): boolean {
    if (this.#ending || this.#sentClose || this.#over || chunk.length === 0) return true;
    const waits = this.#queue.length > 0 || (this.#home.crowded() && chunk.length > interactive);
    const left = waits ? chunk : this.#send(chunk);
    if (left !== null) this.#queue.push(Buffer.from(left)); // the memory is the writer's
    this.#blocked = this.#queue.length > 0 || this.#home.crowded();
    if (this.#blocked) this.#wait();
    return !this.#blocked;
  }

  /** Sends as much as the window and the turn allow. Answers the rest; null: there is none. */
  #send(chunk: Buffer): Buffer | null {
    let from = 0;
    for (let left = packetsATurn; left > 0 && from < chunk.length && this.#sendWindow > 0; left -= 1) {
      const size = Math.min(chunk.length - from, this.#packet, this.#sendWindow);
      this.#sendWindow -= size;
      this.#home.wire.data(
        this.remoteId,
        from === 0 && size === chunk.length ? chunk : chunk.subarray(from, from + size),
      );
      from += size;
    }
    return from < chunk.length ? chunk.subarray(from) : null;
  }

  /** Without window there is nothing to wait for at the transport: `granted` asks again. */
  #wait(): void {
    if (this.#waiting || (this.#queue.length > 0 && this.#sendWindow === 0)) return;
    this.#waiting = true;
    this.#home.waitForRoom(this);
  }

  granted(bytes: number): void {
    // RFC 4254 5.2: a window is at most 2^32-1
    this.#sendWindow = Math.min(this.#sendWindow + bytes, 0xffffffff);
    if (this.#queue.length === 0 || this.#over) return;
    if (this.#home.crowded()) this.#wait();
    else this.turn();
  }

  turn(): void {
    this.#waiting = false;
    if (this.#sentClose || this.#over) return;
    const next = this.#queue.shift();
    const left = next === undefined ? null : this.#send(next);
    if (left !== null) this.#queue.unshift(left);
    if (this.#queue.length > 0) return this.#wait();
    this.#finish();
    if (!this.#blocked || this.#ending) return;
    this.#blocked = false;
    this.#tell((reader) => reader.drain());
  }

  end(): void {
    this.#ending = true;
    this.#finish();
  }

  #finish(): void {
    if (!this.#ending || this.#sentEnd || this.#sentClose || this.#over || this.#queue.length > 0) return;
    this.#sentEnd = true;
    this.#home.wire.end(this.remoteId);
  }

  close(): void {
    if (!this.#sendClose()) return;
    this.#closing = true;
    this.#home.closing();
  }

  /** False: it was sent before. From here on nothing is kept for it: a peer that never answers must not hold the budget. */
  #sendClose(): boolean {
    if (this.#sentClose || this.#over) return false;
    this.#sentClose = true;
    this.#queue = [];
    this.#giveBack();
    this.#home.wire.close(this.remoteId);
    return true;
  }

  #giveBack(): void {
    const { budget } = this.#home;
    budget.open -= 1;
    budget.used -= this.#target;
  }

  ended(): void {
    if (this.#gotEnd || this.#over) return;
    this.#flush();
    this.#gotEnd = true;
    if (!this.#sentClose) this.#tell((reader) => reader.end());
  }

  closedByPeer(): void {
    this.#flush();
    this.#sendClose();
    this.#finally(true);
  }

  lost(): void {
    this.#flush();
    if (!this.#sentClose) this.#giveBack();
    this.#sentClose = true;
    this.#queue = [];
    this.#finally(false);
  }

  #finally(clean: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#home.over(this);
    this.#tell((reader) => reader.closed(clean));
  }
}

/** The window a new channel opens with. */
export function openingWindow(home: ChannelHome): number {
  const { budget, served } = home;
  return initialTarget(windowLimits, budget.total, budget.open, { served, rttMs: home.rttMs() });
}

/**
 * Small pieces that come faster than their reader lets go of them, put together. A window counts bytes, but each piece costs
 * memory of its own: two million of one byte fill a window of 2 MiB, and 600 MiB of ours.
 */
class SmallPieces {
  /** Delivered and not consumed: an estimate, since bytes are what readers count. */
  #pieces = 0;
  #gathered: Buffer | null = null;
  #length = 0;

  get waiting(): boolean {
    return this.#length > 0;
  }

  get full(): boolean {
    return this.#length > roomFor - small;
  }

  /** True: it was copied, and is delivered later. What is gathered is delivered before anything else is. */
  keep(chunk: Buffer): boolean {
    if (chunk.length >= small || this.#pieces < mostPieces) return false;
    this.#gathered ??= Buffer.allocUnsafeSlow(roomFor);
    chunk.copy(this.#gathered, this.#length);
    this.#length += chunk.length;
    return true;
  }

  delivered(): void {
    this.#pieces += 1;
  }

  /** `buffered`: what was received and not consumed before these bytes were. */
  consumed(bytes: number, buffered: number): void {
    const before = buffered - this.#length;
    const left = before - bytes;
    this.#pieces = left <= 0 ? 0 : Math.ceil((this.#pieces * left) / before);
  }

  take(): Buffer | null {
    const gathered = this.#gathered;
    const length = this.#length;
    if (gathered === null || length === 0) return null;
    this.#length = 0;
    // a copy where it is less than half: the reader may keep it
    if (length < roomFor / 2) return Buffer.from(gathered.subarray(0, length));
    this.#gathered = null;
    return gathered.subarray(0, length);
  }
}
