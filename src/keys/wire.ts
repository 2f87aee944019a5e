// Wire: the data types of RFC 4251 section 5 (uint32, string, mpint, boolean), read and written.

/** Reads one value after the other; every method throws RangeError when the bytes run out. */
export interface WireReader {
  uint8(): number;
  uint32(): number;
  uint64(): bigint;
  boolean(): boolean;
  string(): Buffer;
  text(): string;
  /** A non-negative mpint without leading zeros. */
  mpint(): Buffer;
  /** Bytes without a length in front. */
  bytes(length: number): Buffer;
  rest(): Buffer;
  /** How many bytes were read so far, and how many are left. */
  readonly position: number;
  readonly left: number;
}

export function wireReader(source: Uint8Array): WireReader {
  const buffer = Buffer.from(source.buffer, source.byteOffset, source.byteLength);
  let position = 0;
  const bytes = (length: number): Buffer => {
    if (length > buffer.length - position) throw new RangeError('the data ends too early');
    const slice = buffer.subarray(position, position + length);
    position += length;
    return slice;
  };
  const uint32 = (): number => bytes(4).readUInt32BE(0);
  const string = (): Buffer => bytes(uint32());
  return {
    uint8: () => bytes(1).readUInt8(0),
    uint32,
    uint64: () => bytes(8).readBigUInt64BE(0),
    boolean: () => bytes(1).readUInt8(0) !== 0,
    string,
    text: () => string().toString('utf8'),
    mpint: () => withoutZeros(string()),
    bytes,
    rest: () => bytes(buffer.length - position),
    get position() {
      return position;
    },
    get left() {
      return buffer.length - position;
    },
  };
}

/** A list of strings packed in one string (principals, option names). */
export function wireStrings(bytes: Buffer): string[] {
  const reader = wireReader(bytes);
  const strings: string[] = [];
  while (reader.left > 0) strings.push(reader.text());
  return strings;
}

/** An mpint's magnitude: without the zero byte that keeps it positive. RangeError for a negative one. */
export function magnitude(mpint: Buffer): Buffer {
  if ((mpint[0] ?? 0) & 0x80) throw new RangeError('negative number');
  return withoutZeros(mpint);
}

function withoutZeros(number: Buffer): Buffer {
  let start = 0;
  while (start < number.length && number[start] === 0) start += 1;
  return number.subarray(start);
}

export function wireUint32(value: number): Buffer {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeUInt32BE(value, 0);
  return buffer;
}

export function wireBoolean(value: boolean): Buffer {
  return Buffer.from([value ? 1 : 0]);
}

export function wireString(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([wireUint32(bytes.length), bytes]);
}

/** A non-negative integer, big endian: a zero goes in front of a set top bit. */
export function wireMpint(value: Buffer): Buffer {
  const digits = withoutZeros(value);
  const first = digits[0] ?? 0;
  return wireString(first >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits);
}
