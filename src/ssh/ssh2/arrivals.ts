// What comes in, before ssh2 sees it: the identification line in one piece, compressed packets within bounds, and an end
// to a peer that has itself answered without reading the answers.
import type { Client } from 'ssh2';
import { createIdentReader } from '../transport/ident.ts';
import { largestPacket, ssh2Part } from './load.ts';
import { privateParts } from './internals.ts';

interface Inflater {
  _zlib: { _maxOutputLength: number; writeSync(chunk: Buffer, inPieces: boolean): Buffer };
}

const { ZlibPacketReader } = ssh2Part('protocol/zlib.js') as {
  ZlibPacketReader: { prototype: { read(this: Inflater, packet: Buffer): Buffer } };
};

/** 256 KiB can hold 256 MiB of zeros: what a packet may have plain, it may have unpacked. */
ZlibPacketReader.prototype.read = function read(packet) {
  this._zlib._maxOutputLength = largestPacket;
  return this._zlib.writeSync(packet, false);
};

/** More messages than these in a queue, and nobody reads them: data is held back long before. */
export const mostQueued = 100_000;

/**
 * Right after `client.connect()`. ssh2 keeps only the first piece of an identification that comes in several
 * (Protocol.js parseHeader): it gets the line whole, without those before it, of which hello.ts keeps the first.
 * While new keys are made ssh2 queues what it sends, its answers too: `tooMany` is told of a server that asks and asks
 * and never finishes them.
 */
export function watchArrivals(client: Client, tooMany: () => void): void {
  const protocol = privateParts(client)._protocol;
  const parse = protocol.parse.bind(protocol);
  const reader = createIdentReader();
  protocol.parse = (chunk, from, length) => {
    let start = from;
    if (reader.ident === null) {
      const used = reader.feed(chunk.subarray(from, length)); // throws to ssh2, which ends the connection
      if (used === null) return;
      start += used;
      const line = Buffer.concat([reader.ident ?? Buffer.alloc(0), lineEnd]);
      parse(line, 0, line.length);
      if (protocol._destruct === undefined) return; // not a version we speak
    }
    parse(chunk, start, length);
    if (protocol._queue !== undefined && protocol._queue.length > mostQueued) tooMany();
  };
}

const lineEnd = Buffer.from('\r\n');
