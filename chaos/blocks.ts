// What travels in a run: numbered blocks, each with its hash, so that a byte altered, missing, repeated, or of another
// connection is seen by whoever reads it. Pure.
import { createHash } from 'node:crypto';
import { createRandom } from './random.ts';

/** Who sends: the end that connected, or the one that was connected to. */
export type Sender = 'client' | 'target';

const headBytes = 16;
const hashBytes = 16;
/** Bytes of a block that are not its content. */
export const frameBytes = headBytes + hashBytes;
export const largestContent = 64 * 1024;

/** Where contents are cut from: twice as long as the largest, so that every offset serves. */
const noise = makeNoise(2 * largestContent);

function makeNoise(length: number): Buffer {
  const random = createRandom('noise');
  return Buffer.from(Uint8Array.from({ length }, () => random.integer(0, 255)));
}

function hashOf(block: Buffer): Buffer {
  return createHash('sha256').update(block).digest().subarray(0, hashBytes);
}

/** Head: "CHAO", connection, number with the sender in its highest bit, length of the content. */
export function makeBlock(connection: number, sender: Sender, number: number, length: number): Buffer {
  const block = Buffer.allocUnsafe(frameBytes + length);
  block.write('CHAO', 0, 'latin1');
  block.writeUInt32BE(connection, 4);
  block.writeUInt32BE((number | (sender === 'target' ? 0x80000000 : 0)) >>> 0, 8);
  block.writeUInt32BE(length, 12);
  const offset = (connection * 7919 + number * 104_729) % (noise.length - length);
  noise.copy(block, headBytes, offset, offset + length);
  hashOf(block.subarray(0, headBytes + length)).copy(block, headBytes + length);
  return block;
}

/** Which connection a stream belongs to, once its first 8 bytes are there. Null: these are no blocks. */
export function connectionOf(head: Buffer): number | null {
  return head.toString('latin1', 0, 4) === 'CHAO' ? head.readUInt32BE(4) : null;
}

/** Reads one direction of one connection. `push` says what is wrong with it, once; afterwards it reads nothing. */
export class BlockReader {
  blocks = 0;
  bytes = 0;
  wrong: string | null = null;
  readonly #connection: number;
  readonly #sender: Sender;
  #chunks: Buffer[] = [];
  #length = 0;
  #needed = headBytes;

  constructor(connection: number, sender: Sender) {
    this.#connection = connection;
    this.#sender = sender;
  }

  /** Bytes of a block that is not complete. */
  get pending(): number {
    return this.#length;
  }

  push(chunk: Buffer): string | null {
    if (this.wrong !== null) return null;
    this.bytes += chunk.length;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#needed) return null;
    let buffer = Buffer.concat(this.#chunks);
    while (buffer.length >= headBytes && this.wrong === null) {
      this.wrong = this.#headFault(buffer);
      if (this.wrong !== null) break;
      this.#needed = frameBytes + buffer.readUInt32BE(12);
      if (buffer.length < this.#needed) break;
      this.wrong = this.#contentFault(buffer.subarray(0, this.#needed));
      buffer = buffer.subarray(this.#needed);
      this.#needed = headBytes;
      this.blocks += 1;
    }
    this.#chunks = [buffer];
    this.#length = buffer.length;
    return this.wrong;
  }

  #headFault(buffer: Buffer): string | null {
    const connection = connectionOf(buffer);
    const word = buffer.readUInt32BE(8);
    const number = word & 0x7fffffff;
    const sender: Sender = word > 0x7fffffff ? 'target' : 'client';
    const where = `block ${this.blocks} from the ${this.#sender}`;
    if (connection === null || buffer.readUInt32BE(12) > largestContent)
      return `altered: the head of ${where}`;
    if (connection !== this.#connection) return `altered: ${where} is of connection ${connection}`;
    if (sender !== this.#sender) return `altered: ${where} was sent by the ${sender}`;
    if (number < this.blocks) return `repeated: block ${number} stands in place of ${where}`;
    if (number > this.blocks) return `missing: block ${number} stands in place of ${where}`;
    return null;
  }

  #contentFault(block: Buffer): string | null {
    const end = block.length - hashBytes;
    if (hashOf(block.subarray(0, end)).equals(block.subarray(end))) return null;
    return `altered: the content of block ${this.blocks} from the ${this.#sender}`;
  }
}
