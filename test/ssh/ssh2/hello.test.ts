// A server's first words: read from any cut, and never believed further than they go. Its identification:
// found in bytes that come in any pieces, and never waited for without bound.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createHelloReader,
  IdentReader,
  disagreement,
  type ServerHello,
} from '../../../src/ssh/ssh2/hello.ts';

function kexinit(lists: readonly string[]): Buffer {
  const strings = lists.map((list) => Buffer.concat([length(list.length), Buffer.from(list)]));
  const payload = Buffer.concat([Buffer.from([20]), Buffer.alloc(16), ...strings, Buffer.alloc(5)]);
  return Buffer.concat([length(payload.length + 5), Buffer.from([4]), payload, Buffer.alloc(4)]);
}

function length(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const lists = ['kex-a,kex-b', 'key-a', 'cipher-a', 'cipher-a', 'mac-a', 'mac-a', 'none', 'none', '', ''];
const good = Buffer.concat([Buffer.from('SSH-2.0-Test_1.0 x\r\n'), kexinit(lists)]);
const offers = { kex: ['kex-a', 'kex-b'], hostKey: ['key-a'], cipher: ['cipher-a'], mac: ['mac-a'] };

function parseHello(bytes: Buffer): ServerHello {
  const reader = createHelloReader();
  reader.feed(bytes);
  return reader.hello;
}

describe('a hello', () => {
  test('is read whole from any cut', () => {
    for (let cut = 0; cut <= good.length; cut += 1) {
      const reader = createHelloReader();
      reader.feed(good.subarray(0, cut));
      reader.feed(good.subarray(cut));
      expect(reader.hello).toEqual({ ident: 'SSH-2.0-Test_1.0 x', line: null, offers });
      expect(reader.received).toBe(good.length);
    }
  });

  test('is read whole byte by byte, with lines before it', () => {
    const reader = createHelloReader();
    for (const byte of Buffer.concat([Buffer.from('welcome\nto this\r\n'), good]))
      reader.feed(Buffer.of(byte));
    expect(reader.hello).toEqual({ ident: 'SSH-2.0-Test_1.0 x', line: 'welcome', offers });
  });

  test('of 250 KiB of algorithms, in small pieces, is read once', () => {
    const many = lists.with(0, Array.from({ length: 20_000 }, (_, index) => `kex-${index}`).join(','));
    const bytes = Buffer.concat([Buffer.from('SSH-2.0-Test\r\n'), kexinit(many)]);
    const reader = createHelloReader();
    for (let from = 0; from < bytes.length; from += 3) reader.feed(bytes.subarray(from, from + 3));
    expect(reader.hello.offers?.kex).toHaveLength(20_000);
  });

  test('may have lines before it, and the first one is kept', () => {
    const hello = parseHello(Buffer.concat([Buffer.from('welcome\r\nto this\n'), good]));
    expect(hello).toEqual({ ident: 'SSH-2.0-Test_1.0 x', line: 'welcome', offers });
  });

  test('of another protocol has a first line and nothing else', () => {
    expect(parseHello(Buffer.from('HTTP/1.1 400 Bad\r\n\r\n'))).toEqual({
      ident: null,
      line: 'HTTP/1.1 400 Bad',
      offers: null,
    });
    expect(parseHello(Buffer.from('unended'))).toEqual({ ident: null, line: 'unended', offers: null });
  });

  test('of any bytes is no crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        parseHello(Buffer.from(bytes));
        parseHello(Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.from(bytes)]));
      }),
    );
  });
});

test('a disagreement names what of a server can be read', () => {
  const names = [
    'kex-\u001b[2Jred',
    ...Array.from({ length: 500 }, (_, index) => `kex-${index}@example.org`),
  ];
  const told = disagreement(offers, { ...offers, kex: names })?.words;
  expect(told).toMatch(
    /^no common key exchange method: the server offers kex-red, kex-0@example.org, .* and 481 more; /,
  );
});

describe('a disagreement', () => {
  test.each([
    ['none', offers, null],
    [
      'key exchange',
      { ...offers, kex: ['kex-c'] },
      'no common key exchange method: the server offers kex-a, kex-b; we offer kex-c',
    ],
    [
      'host key',
      { ...offers, hostKey: ['key-c'] },
      'no common host key type: the server offers key-a; we offer key-c',
    ],
    [
      'cipher',
      { ...offers, cipher: ['cipher-c'] },
      'no common cipher: the server offers cipher-a; we offer cipher-c',
    ],
    ['MAC', { ...offers, mac: ['mac-c'] }, 'no common MAC: the server offers mac-a; we offer mac-c'],
  ])('in words: %s', (_, ours, words) => {
    expect(disagreement(ours, offers)?.words ?? null).toBe(words);
  });

  test('over MACs is none where the cipher needs no MAC', () => {
    const gcm = { ...offers, cipher: ['aes128-gcm@openssh.com'] };
    expect(disagreement({ ...gcm, mac: ['mac-c'] }, gcm)).toBeNull();
  });
});

/** Feeds the pieces; what stands behind the identification, or null. */
function read(pieces: readonly Buffer[]): { ident: string | null; line: string | null; rest: string | null } {
  const reader = new IdentReader();
  let rest: string | null = null;
  for (const piece of pieces) {
    const used = reader.feed(piece);
    if (used !== null) rest = (rest ?? '') + piece.subarray(used).toString('latin1');
  }
  return { ident: reader.ident?.toString() ?? null, line: reader.line?.toString() ?? null, rest };
}

describe('an identification', () => {
  test('is the same in whatever pieces it comes, with lines before it and bytes behind', () => {
    const all = Buffer.from(
      'Welcome to gate.example.org\r\n\nSSH is spoken here\nSSH-2.0-Gate_1 c d\r\n\x00\x00\x01\nSSH-',
    );
    const whole = {
      ident: 'SSH-2.0-Gate_1 c d',
      line: 'Welcome to gate.example.org',
      rest: '\x00\x00\x01\nSSH-',
    };
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: all.length }), { maxLength: 12 }), (cuts) => {
        const at = [0, ...cuts.toSorted((one, other) => one - other), all.length];
        const pieces = at.slice(1).map((end, index) => all.subarray(at[index], end));
        expect(read(pieces)).toEqual(whole);
      }),
    );
    expect(read(Array.from(all, (byte) => Buffer.of(byte)))).toEqual(whole);
  });

  test('may end in a line feed alone', () => {
    expect(read([Buffer.from('SSH-2.0-Old'), Buffer.from('\nrest')])).toEqual({
      ident: 'SSH-2.0-Old',
      line: null,
      rest: 'rest',
    });
  });

  test('that is not complete is no other line', () => {
    expect(read([Buffer.from('SSH-2.0-Slo'), Buffer.from('w')])).toEqual({
      ident: null,
      line: null,
      rest: null,
    });
    expect(read([Buffer.from('Go a'), Buffer.from('way')])).toMatchObject({ line: 'Go away' });
  });

  test('is not waited for behind a line, or lines, without end', () => {
    const reader = new IdentReader();
    expect(() => {
      for (let count = 0; count < 100; count += 1) reader.feed(Buffer.alloc(100, 'x'));
    }).toThrow('a line of more than 8192 bytes');
    const patient = new IdentReader();
    expect(() => patient.feed(Buffer.from('hello\n'.repeat(1025)))).toThrow('more than 1024 lines');
  });
});
