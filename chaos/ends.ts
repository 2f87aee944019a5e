// The two ends of a checked connection: each plays its part of the script on a real socket and reads what the other one sent.
import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { BlockReader, makeBlock, type Sender } from './blocks.ts';
import type { FairClock } from './fair-clock.ts';
import type { Part, Step } from './script.ts';
import { resetSocket } from '../src/model/reset-socket.ts';

/** How an end of a connection saw the other one finish. */
export type Seen = 'nothing' | 'end' | 'fault';

/** One end of a connection: what it sent, how it ended, what it saw. */
export class End {
  readonly sender: Sender;
  readonly reader: BlockReader;
  sentBytes = 0;
  sentBlocks = 0;
  /** What this end did to end: an end, a reset, or the close of a process that ends, which is either by the kernel's choice. */
  ended: 'no' | 'end' | 'reset' | 'close' = 'no';
  /** When, on the run's clock. */
  endedMs: number | null = null;
  seen: Seen = 'nothing';
  /** When, on the run's clock. */
  seenMs: number | null = null;
  /** ECONNRESET and friends. */
  fault: string | null = null;
  /** The socket is closed. */
  closed = false;
  /** Local port of the socket, where it has one. */
  port: number | null = null;
  /** On the run's clock: when something last happened here. */
  touchedMs = 0;
  readonly #connection: number;
  #wake: (() => void) | null = null;
  #socket: Socket | null = null;

  constructor(connection: number, sender: Sender) {
    this.#connection = connection;
    this.sender = sender;
    this.reader = new BlockReader(connection, sender === 'client' ? 'target' : 'client');
  }

  /** Plays to the end; resolves when the socket is closed. `first`: bytes that were read already. */
  async play(socket: Socket, part: Part, clock: FairClock, first: readonly Buffer[] = []): Promise<void> {
    const leaving = new AbortController();
    const closed = new Promise<void>((resolve) =>
      socket.once('close', () => {
        this.closed = true;
        leaving.abort();
        this.#happened(clock);
        resolve();
      }),
    );
    this.port = socket.localPort ?? null;
    this.#socket = socket;
    this.#happened(clock);
    for (const chunk of first) this.#read(chunk, clock);
    this.#readOn(socket, part, clock);
    for (const step of part.steps) {
      if (this.closed) break;
      await this.#do(step, socket, clock, leaving.signal);
      this.#happened(clock);
    }
    await closed;
  }

  /** It was over before it could be played: with an end, or with a fault that is named. */
  gaveUp(how: string): void {
    this.seen = how === 'end' ? 'end' : 'fault';
    this.fault = how === 'end' ? null : how;
    this.seenMs = this.touchedMs;
    this.closed = true;
  }

  /** Gives up on it. */
  abandon(): void {
    this.ended = 'close';
    this.#socket?.destroy();
  }

  #happened(clock: FairClock): void {
    this.touchedMs = clock.now();
    this.#wake?.();
  }

  #saw(what: Seen, clock: FairClock): void {
    this.seen = what;
    this.seenMs = clock.now();
    this.#happened(clock);
  }

  #read(chunk: Buffer, clock: FairClock): void {
    this.reader.push(chunk);
    this.#happened(clock);
  }

  #readOn(socket: Socket, { pace }: Part, clock: FairClock): void {
    let sincePause = 0;
    socket.on('data', (chunk) => {
      this.#read(chunk, clock);
      sincePause += chunk.length;
      if (pace === null || sincePause < pace.bytes || this.reader.bytes > pace.upToBytes) return;
      sincePause = 0;
      socket.pause();
      setTimeout(() => {
        this.touchedMs = clock.now();
        socket.resume();
      }, pace.pauseMs);
    });
    socket.on('end', () => {
      this.#saw(wasReset(socket) ? 'fault' : 'end', clock);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.ended === 'reset' || this.ended === 'close') return;
      this.fault = error.code ?? error.message;
      // what comes after an end is no fault of the direction that ended
      if (this.seen === 'nothing') this.#saw('fault', clock);
    });
    socket.resume(); // whoever read its first bytes paused it
  }

  async #do(step: Step, socket: Socket, clock: FairClock, signal: AbortSignal): Promise<void> {
    switch (step.kind) {
      case 'send':
        return this.#send(step.lengths, socket);
      case 'await':
        return this.#until(() => this.reader.blocks >= step.blocks || this.seen !== 'nothing');
      case 'awaitEnd':
        return this.#until(() => this.seen !== 'nothing');
      case 'pause':
        return clock.sleep(step.ms, signal);
      case 'end':
        if (socket.destroyed) return;
        this.ended = 'end';
        this.endedMs = clock.now();
        socket.end();
        return;
      case 'leave':
        this.endedMs = clock.now();
        return this.#leave(step.how, socket);
    }
  }

  /** A unix socket cannot be reset. */
  #leave(how: 'reset' | 'close', socket: Socket): void {
    this.ended = socket.localPort === undefined ? 'close' : how;
    if (this.ended === 'reset') resetSocket(socket);
    else socket.destroy();
  }

  async #send(lengths: readonly number[], socket: Socket): Promise<void> {
    for (const length of lengths) {
      if (this.closed || socket.destroyed) return;
      const block = makeBlock(this.#connection, this.sender, this.sentBlocks, length);
      this.sentBlocks += 1;
      this.sentBytes += block.length;
      if (socket.write(block)) continue;
      let isDrained = false;
      socket.once('drain', () => {
        isDrained = true;
        this.#wake?.();
      });
      await this.#until(() => isDrained);
    }
  }

  /** Until the condition holds, or the socket is closed. */
  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.closed) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = null;
  }
}

/**
 * True when an 'end' was a reset. libuv tells a reset that arrives together with data as an end (uv__stream_io, the POLLHUP short
 * cut after a partial read); one more read(2) tells them apart, as the error still waits to be read.
 */
export function wasReset(socket: Socket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  if (typeof handle?.fd !== 'number' || handle.fd < 0) return false;
  try {
    return readSync(handle.fd, Buffer.alloc(1)) !== 0;
  } catch {
    return true;
  }
}
