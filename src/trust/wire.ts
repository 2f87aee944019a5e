// SSH wire format (RFC 4251 section 5), read only: strings, numbers and big integers out of a buffer. Pure.

/** Reads one value after another. Every method throws RangeError when the buffer is too short or malformed. */
export interface WireReader {
  string(): Buffer;
  text(): string;
  uint32(): number;
  uint64(): bigint;
  byte(): number;
  /** How many bytes were read so far. */
  position(): number;
  atEnd(): boolean;
}

export function readWire(bytes: Buffer): WireReader {
  let at = 0;
  const take = (count: number): Buffer => {
    if (at + count > bytes.length) throw new RangeError(`ends after ${bytes.length} bytes`);
    at += count;
    return bytes.subarray(at - count, at);
  };
  const string = (): Buffer => take(take(4).readUInt32BE());
  return {
    string,
    text: () => string().toString('utf8'),
    uint32: () => take(4).readUInt32BE(),
    uint64: () => take(8).readBigUInt64BE(),
    byte: () => take(1).readUInt8(),
    position: () => at,
    atEnd: () => at === bytes.length,
  };
}

/** A list of strings packed in one string (principals, option names). */
export function readStrings(bytes: Buffer): string[] {
  const reader = readWire(bytes);
  const strings: string[] = [];
  while (!reader.atEnd()) strings.push(reader.text());
  return strings;
}

/** One SSH string: length and bytes. */
export function wireString(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** An mpint's magnitude: without the zero byte that keeps it positive. RangeError for a negative one. */
export function magnitude(mpint: Buffer): Buffer {
  if ((mpint[0] ?? 0) & 0x80) throw new RangeError('negative number');
  let start = 0;
  while (start < mpint.length && mpint[start] === 0) start++;
  return mpint.subarray(start);
}
