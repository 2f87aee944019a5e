// Reads of local sockets into one buffer of the whole process. Node makes 64 KiB of memory anew for each read of an accepted socket:
// 15,000 pieces a GB, and collecting them was half of the work of an upload. Whoever keeps a chunk beyond its 'data' event copies it.
//
// net.connect takes a buffer (`onread`), a server's sockets do not: what that option sets is set here (lib/net.js, private). Where
// those parts are not as we know them, a socket reads as Node has it.
import type { Socket } from 'node:net';
import { newReader, noteRead, readsAlone, type Reader } from '../model/reading.ts';
import { letGoOf } from '../model/reused-memory.ts';

/** What a socket that is alone takes at once: 128 KiB cost a fifth of the throughput. */
const largeRead = 256 * 1024;
/** While another one reads too: with more, a keystroke waits for the packets of 256 KiB (8 ms instead of 1). */
const smallRead = 64 * 1024;

interface Parts {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}

type Private = Socket &
  Record<symbol, unknown> & { _handle?: { useUserBuffer?(bytes: Buffer): void } | null };

/** Found in the first socket; null: this Node has other parts. */
let known: Parts | null | undefined;

function partsOf(socket: Private): Parts | null {
  if (known !== undefined) return known;
  const symbols = Object.getOwnPropertySymbols(socket);
  const named = (name: string): symbol | undefined =>
    symbols.find((symbol) => symbol.description === name && socket[symbol] === null);
  const [buffer, callback, generator] = [named('kBuffer'), named('kBufferCb'), named('kBufferGen')];
  const found = buffer !== undefined && callback !== undefined && generator !== undefined;
  known = found ? { buffer, callback, generator } : null;
  return known;
}

interface Views {
  readonly large: Buffer;
  readonly small: Buffer;
}

let views: Views | null = null;

function sharedViews(): Views {
  if (views === null) {
    const large = Buffer.allocUnsafeSlow(largeRead);
    views = { large, small: large.subarray(0, smallRead) };
  }
  return views;
}

/** What a socket is among those who read. */
const reader = Symbol('reader');

/** Called as a method of the socket (lib/internal/stream_base_commons.js, onStreamRead). */
function onRead(this: Socket & { [reader]: Reader }, length: number, buffer: Buffer): boolean {
  noteRead(this[reader]);
  const chunk = buffer.subarray(0, length);
  this.emit('data', chunk);
  letGoOf(chunk);
  return true;
}

const nextView = (): Buffer => (readsAlone() ? sharedViews().large : sharedViews().small);

/**
 * From now on the socket emits 'data' from the shared buffer: a chunk is good until its listeners return. For a connected socket of
 * which nothing was read yet. Nobody may be without a listener while it reads: what comes then is lost.
 */
export function shareReads(socket: Socket): void {
  const handle = (socket as Private)._handle;
  if (typeof handle?.useUserBuffer !== 'function' || socket.readableLength > 0) return;
  const parts = partsOf(socket as Private);
  if (parts === null) return;
  const first = sharedViews().small;
  Object.assign(socket, { [parts.buffer]: first, [parts.callback]: onRead, [parts.generator]: nextView });
  Object.assign(socket, { [reader]: newReader() });
  handle.useUserBuffer(first);
}
