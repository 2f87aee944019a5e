// SOCKS and HTTP CONNECT: what each client's bytes mean, split anywhere and mangled anyhow.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allows } from '../../src/forward/allow.ts';
import { createHandshake, loginCheck, replyFor, type Asked } from '../../src/forward/proxy-request.ts';
import { shortestIpv6, type CheckLogin } from '../../src/forward/socks.ts';
import { tcp } from '../../src/model/endpoint.ts';

interface Result {
  readonly sent: string;
  readonly asked: Asked | null;
  readonly rest: string;
}

/** Feeds the chunks; hex of what was sent back. */
function shake(chunks: readonly Buffer[], login: CheckLogin = null): Result {
  const sent: Buffer[] = [];
  const push = createHandshake(login, (bytes) => sent.push(bytes));
  for (const [index, chunk] of chunks.entries()) {
    const done = push(chunk);
    if (done !== null) {
      const rest = Buffer.concat([done.rest, ...chunks.slice(index + 1)]);
      return { sent: Buffer.concat(sent).toString('hex'), asked: done.asked, rest: rest.toString('latin1') };
    }
  }
  return { sent: Buffer.concat(sent).toString('hex'), asked: null, rest: '' };
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const text = (words: string): Buffer => Buffer.from(words, 'latin1');
const request = (protocol: string, host: string, port: number): object => ({
  kind: 'request',
  protocol,
  target: tcp(host, port),
});

const good: readonly [string, Buffer, string, object][] = [
  [
    'SOCKS5 to an IPv4 address',
    hex('05 01 00 05 01 00 01 0a000001 1538'),
    '0500',
    request('socks5', '10.0.0.1', 5432),
  ],
  [
    'SOCKS5 to an IPv6 address',
    hex('05 01 00 05 01 00 04 20010db8000000000000000000000001 0050'),
    '0500',
    request('socks5', '2001:db8::1', 80),
  ],
  [
    'SOCKS5 to a name',
    Buffer.concat([hex('05 02 00 02 05 01 00 03 05'), text('db.in'), hex('1538')]),
    '0500',
    request('socks5', 'db.in', 5432),
  ],
  [
    'SOCKS5 to a name that is an address in brackets',
    Buffer.concat([hex('05 01 00 05 01 00 03 05'), text('[::1]'), hex('1538')]),
    '0500',
    request('socks5', '::1', 5432),
  ],
  [
    'SOCKS5 of a client that only knows how to log in',
    hex('05 01 02 01 01 61 01 62 05 01 00 01 0a000001 1538'),
    '05020100',
    request('socks5', '10.0.0.1', 5432),
  ],
  ['SOCKS4', hex('04 01 1538 0a000001 6d6500'), '', request('socks4', '10.0.0.1', 5432)],
  [
    'SOCKS4a',
    Buffer.concat([hex('04 01 1538 00000001 00'), text('db.in'), hex('00')]),
    '',
    request('socks4', 'db.in', 5432),
  ],
  [
    'HTTP CONNECT',
    text('CONNECT db.in:5432 HTTP/1.1\r\nHost: db.in\r\n\r\n'),
    '',
    request('http', 'db.in', 5432),
  ],
  [
    'HTTP CONNECT with line feeds alone',
    text('CONNECT db.in:5432 HTTP/1.1\nHost: db.in\r\n\n'),
    '',
    request('http', 'db.in', 5432),
  ],
  [
    'HTTP CONNECT to IPv6',
    text('CONNECT [2001:DB8::1]:443 HTTP/1.0\r\n\r\n'),
    '',
    request('http', '2001:db8::1', 443),
  ],
];

describe('a proxy client', () => {
  test.each(good)(
    '%s is understood, whole, byte by byte, and split anywhere',
    (_name, bytes, sent, asked) => {
      const wanted: Result = { sent, asked: asked as Asked, rest: 'GET /' };
      const stream = Buffer.concat([bytes, text('GET /')]);
      expect(shake([stream])).toEqual(wanted);
      expect(shake([...stream].map((byte) => Buffer.from([byte])))).toEqual(wanted);
      for (let at = 1; at < stream.length; at += 1)
        expect(shake([stream.subarray(0, at), stream.subarray(at)])).toEqual(wanted);
      for (let length = 0; length < bytes.length; length += 1)
        expect(shake([bytes.subarray(0, length)]).asked).toBeNull();
    },
  );

  const check = loginCheck('me', 'secret');
  test.each([
    ['SOCKS5 without a login', hex('05 01 00'), '05ff'],
    [
      'SOCKS5 with a wrong password',
      Buffer.concat([hex('05 01 02 01 02'), text('me'), hex('03'), text('bad')]),
      '0101',
    ],
    ['SOCKS4', hex('04 01 1538 0a000001 6d6500'), '005b000000000000'],
    ['HTTP without a login', text('CONNECT a:1 HTTP/1.1\r\n\r\n'), /^485454502f312e3120343037/],
    [
      'HTTP with a wrong password',
      text(`CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic ${btoa('me:bad')}\r\n\r\n`),
      /^485454502f312e3120343037/,
    ],
  ])('%s is refused where a login is asked', (_name, bytes, reply) => {
    const { asked, sent } = shake([bytes], check);
    expect(asked?.kind).toBe('refused');
    const said = sent + (asked?.kind === 'refused' ? asked.reply.toString('hex') : '');
    if (typeof reply === 'string') expect(said.endsWith(reply)).toBe(true);
    else expect(said).toMatch(reply);
  });

  test('the right login comes in', () => {
    const socks = Buffer.concat([
      hex('05 02 00 02 01 02'),
      text('me'),
      hex('06'),
      text('secret'),
      hex('05 01 00 01 0a000001 1538'),
    ]);
    expect(shake([socks], check)).toMatchObject({ sent: '05020100', asked: { kind: 'request' } });
    const http = text(`CONNECT a:1 HTTP/1.1\r\nproxy-authorization: basic ${btoa('me:secret')}\r\n\r\n`);
    expect(shake([http], check).asked?.kind).toBe('request');
  });

  test.each([
    ['BIND over SOCKS5', hex('05 01 00 05 02 00 01 0a000001 1538'), '05070001000000000000'],
    ['an unknown address type', hex('05 01 00 05 01 00 09 0a000001 1538'), '05080001000000000000'],
    ['port 0', hex('05 01 00 05 01 00 01 0a000001 0000'), '05010001000000000000'],
    ['an empty name', hex('05 01 00 05 01 00 03 00 1538'), '05010001000000000000'],
    ['a name with control characters', hex('05 01 00 05 01 00 03 02 1b5b 1538'), '05010001000000000000'],
    ['no methods', hex('05 00'), '05ff'],
    ['a request of another version', hex('05 01 00 04 01 00 01 0a000001 1538'), '05010001000000000000'],
    ['a login of another version', hex('05 01 02 05 01 61 01 62'), '0101'],
    [
      'a name of 255 control characters',
      Buffer.concat([hex('05 01 00 05 01 00 03 ff'), Buffer.alloc(255, 0x1b), hex('1538')]),
      '05010001000000000000',
    ],
    ['BIND over SOCKS4', hex('04 02 1538 0a000001 00'), '005b000000000000'],
    [
      'a SOCKS4 user without end',
      Buffer.concat([hex('04 01 1538 0a000001'), Buffer.alloc(300, 65)]),
      '005b000000000000',
    ],
    [
      'a SOCKS4a name without end',
      Buffer.concat([hex('04 01 1538 00000001 00'), Buffer.alloc(300, 65)]),
      '005b000000000000',
    ],
    ['TLS', hex('16 03 01 02 00'), ''],
  ])('%s is refused in its own words', (_name, bytes, reply) => {
    const { asked } = shake([bytes]);
    expect(asked).toMatchObject({ kind: 'refused' });
    expect(asked?.kind === 'refused' && asked.reply.toString('hex')).toBe(reply);
  });

  test.each([
    ['GET http://a/ HTTP/1.1\r\n\r\n', '405'],
    ['CONNECT a HTTP/1.1\r\n\r\n', '400'],
    ['CONNECT a:99999 HTTP/1.1\r\n\r\n', '400'],
    ['HELO there\r\n\r\n', '400'],
    [`CONNECT a:1 HTTP/1.1\r\n${'X: y\r\n'.repeat(4000)}`, '431'],
  ])('%j is answered %s', (bytes, status) => {
    const { asked } = shake([text(bytes)]);
    expect(asked?.kind === 'refused' && asked.reply.toString()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  test('bytes mangled at every position never crash, and never cost more than the limits', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...good.map(([, bytes]) => bytes)),
        fc.array(fc.record({ at: fc.nat(80), byte: fc.nat(255) }), { maxLength: 6 }),
        fc.array(fc.nat(40), { maxLength: 8 }),
        fc.boolean(),
        (bytes, mangles, cuts, login) => {
          const mangled = Buffer.from(bytes);
          for (const { at, byte } of mangles) mangled[at % mangled.length] = byte;
          const chunks: Buffer[] = [];
          let from = 0;
          for (const cut of cuts) {
            chunks.push(mangled.subarray(from, from + cut));
            from = Math.min(mangled.length, from + cut);
          }
          chunks.push(mangled.subarray(from), Buffer.alloc(20_000, 0x41));
          // 20 kB more than any handshake has: the answer must be there
          const { asked } = shake(chunks, login ? check : null);
          expect(asked).not.toBeNull();
          if (asked?.kind === 'request') {
            expect(asked.target.host).toMatch(/^[\x21-\x7e]{1,255}$/);
            expect(asked.target.port).toBeGreaterThan(0);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('every outcome has a reply in every protocol', () => {
    expect(replyFor('socks5', 'refused').toString('hex')).toBe('05050001000000000000');
    expect(replyFor('socks5', 'unreachable').toString('hex')).toBe('05040001000000000000');
    expect(replyFor('socks5', 'prohibited').toString('hex')).toBe('05020001000000000000');
    expect(replyFor('socks5', 'timeout').toString('hex')).toBe('05060001000000000000');
    expect(replyFor('socks4', 'ok').toString('hex')).toBe('005a000000000000');
    expect(replyFor('http', 'ok').toString()).toBe('HTTP/1.1 200 Connection established\r\n\r\n');
    expect(replyFor('http', 'prohibited').toString()).toMatch(/^HTTP\/1.1 403 /);
  });
});

test.each([
  ['db:5432', 'db', 5432, true],
  ['db:5432', 'DB.', 5432, true],
  ['db:5432', 'db', 5433, false],
  ['db-*:5432', 'db-1', 5432, true],
  ['*.in:*', 'a.b.in', 1, true],
  ['*.in:*', 'in', 1, false],
  ['*:443', '10.0.0.1', 443, true],
  ['10.0.0.?:*', '10.0.0.7', 80, true],
  ['10.0.0.?:*', '10.0.0.17', 80, false],
  ['[::1]:80', '::1', 80, true],
  ['[::1]:80', '::2', 80, false],
  ['db', 'db', 9, true],
  ['a*a*a*a*a*a*b:*', 'a'.repeat(200), 1, false],
])('the glob %s and %s:%i', (glob, host, port, wanted) => {
  expect(allows([glob], tcp(host, port))).toBe(wanted);
});

describe('the one written form of an IPv6 address', () => {
  test.each([
    ['0:0:0:0:0:0:0:1', '::1'],
    ['::FFFF:127.0.0.1', '::ffff:7f00:1'],
  ])('of %s is %s', (address, shortest) => {
    expect(shortestIpv6(address)).toBe(shortest);
  });

  // A URL would find an address in each: an allow-list must not be asked about another one than is dialled.
  test.each(['a:b@[::1', '::1]/x', '::1]:80@[2001:db8::1', '::1%25eth0', 'db.example.org', ''])(
    'is none of what is no address: %s',
    (text) => {
      expect(shortestIpv6(text)).toBeNull();
    },
  );
});
