// Answers of proxies as networks bring them: in pieces, with lines of two kinds, glued to what the server says.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/model/clock.ts';
import { proxy } from '../../../src/config/special-values.ts';
import type { Host } from '../../../src/model/host.ts';
import type { SecretRef } from '../../../src/model/secret.ts';
import { passProxy } from '../../../src/ssh/transport/proxy.ts';
import { failureOf } from '../../helpers/failure.ts';
import { manualClock, type ManualClock } from '../../helpers/manual-clock.ts';
import { socketPair } from '../../helpers/socket-pair.ts';
import { hostOf } from '../../helpers/ssh-dialer.ts';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Passes a proxy that says `pieces`, each in a packet of its own; resolves with what is left for SSH. */
async function pass(
  scheme: 'http' | 'socks5',
  pieces: readonly Buffer[],
  own: { readonly user?: string; readonly password?: SecretRef } = {},
  clock: ManualClock | null = null,
): Promise<string> {
  const { client, served } = await socketPair();
  sockets.push(client, served);
  served.on('error', () => undefined).resume();
  const host: Host = hostOf(
    { port: 22, user: 'me', identity: '/dev/null' },
    { proxy: { scheme, host: '127.0.0.1', port: 3128, user: null, password: null, ...own } },
  );
  const limits = { clock: clock ?? systemClock, signal: new AbortController().signal };
  const passed = passProxy(client, host, { user: null, password: null }, limits);
  passed.catch(() => undefined);
  for (const piece of pieces) {
    await new Promise((resolve) => served.write(piece, resolve));
    clock?.advance(1000);
    for (let turns = 0; turns < 3; turns += 1) await turn(); // the other side of the pair reads it in one of them
  }
  await passed;
  served.end();
  let left = '';
  client.on('data', (chunk: Buffer) => (left += chunk.toString('latin1'))).resume();
  await once(client, 'end');
  return left;
}

const text = (words: string): Buffer => Buffer.from(words, 'latin1');
const bytes = (words: Buffer): Buffer[] => Array.from(words, (byte) => Buffer.of(byte));

describe('an HTTP proxy', () => {
  test.each([
    ['with line feeds alone', 'HTTP/1.0 200 Connection established\nVia: gate\n\n'],
    ['with both kinds of line end', 'HTTP/1.1 200 OK\r\nVia: gate\n\r\n'],
    ['with lines that mix them the other way', 'HTTP/1.1 200 OK\nVia: gate\r\n\n'],
    ['after one that says to go on', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'],
    ['without words', 'HTTP/1.1 200\r\n\r\n'],
  ])('that answers %s lets through what follows, whole or byte by byte', async (_how, answer) => {
    const all = text(`${answer}SSH-2.0-Gate\r\n`);
    expect(await pass('http', [all])).toBe('SSH-2.0-Gate\r\n');
    expect(await pass('http', bytes(all))).toBe('SSH-2.0-Gate\r\n');
  });

  test.each([
    ['HTTP/1.1 403 Not from\nhere\n\n', '403 Not from'],
    ['HTTP/1.0 502\n\n', '502'],
    ['\n\n', 'does not answer as an HTTP proxy'],
    ['HTTP/1.1 100 \n\n'.repeat(20), 'does not answer as an HTTP proxy'],
    [`HTTP/1.1 200 OK\n${'x'.repeat(17_000)}`, 'its answer is too long'],
  ])('that answers %j is told', async (answer, words) => {
    expect((await failureOf(pass('http', [text(answer)]))).message).toContain(words);
  });
});

describe('a proxy that wants another login', () => {
  test.each([
    ['http', 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', 'http://USER@127.0.0.1:3128'],
    ['socks5', '\u0005\u00ff', 'socks5://USER@127.0.0.1:3128'],
  ] as const)('%s: the hint is what the config takes', async (scheme, answer, url) => {
    const { hint, code } = await failureOf(pass(scheme, [text(answer)]));
    expect(code).toBe('AUTH_REFUSED');
    expect(hint).toBe(
      `proxy: { url: '${url}', password: prompt }    # under host test; or keychain, env:NAME, file:PATH`,
    );
    expect(proxy({ url, password: 'prompt' })).toMatchObject({ value: { scheme, user: 'USER' } });
  });

  test('is asked whether what was named is right, without naming what it holds', async () => {
    const own = { user: 'a b', password: { from: 'env', name: 'PW' } } as const;
    const { hint } = await failureOf(pass('http', [text('HTTP/1.1 407 No\n\n')], own));
    expect(hint).toBe(
      'proxy: http://a%20b@127.0.0.1:3128    # under host test: is the user right, and what env:PW holds?',
    );
  });
});

describe('a SOCKS proxy', () => {
  test.each([
    ['an IPv4 address', [5, 0, 5, 0, 0, 1, 10, 0, 0, 1, 1, 187]],
    ['an IPv6 address', [5, 0, 5, 0, 0, 4, ...Array.from({ length: 16 }, () => 1), 0, 22]],
    ['a name', [5, 0, 5, 0, 0, 3, 4, 103, 97, 116, 101, 0, 22]],
  ])('that names %s lets through what follows, whole or byte by byte', async (_what, answer) => {
    const all = Buffer.concat([Buffer.from(answer), text('SSH-2.0-Gate\r\n')]);
    expect(await pass('socks5', [all])).toBe('SSH-2.0-Gate\r\n');
    expect(await pass('socks5', bytes(all))).toBe('SSH-2.0-Gate\r\n');
  });

  test('whose reply is of another version does not speak SOCKS5', async () => {
    const failed = await failureOf(pass('socks5', [Buffer.from([5, 0, 4, 0, 0, 1, 0, 0, 0, 0, 0, 0])]));
    expect(failed.message).toContain('does not speak SOCKS5');
  });
});

describe('a proxy that says a byte a second', () => {
  test.each([
    ['http', text('HTTP/1.1 200 OK, in a while, for sure\r\n')],
    ['socks5', Buffer.from([5, 0, 5, 0, 0, 3, 255, ...text('a name that takes its time')])],
  ] as const)('%s: is given up at connect_timeout', async (scheme, answer) => {
    const clock = manualClock();
    const failed = await failureOf(pass(scheme, bytes(answer), {}, clock));
    expect(failed).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'tcp' } });
    expect(failed.message).toMatch(/proxy 127\.0\.0\.1:3128 gave no answer in \d+s$/);
    expect(clock.armed()).toBe(0);
  });
});

test.each([
  ['http', text(`HTTP/1.1 403 \u001b[2J\u001b]0;owned\u0007no\r\n\r\n`)],
  ['http', text('\u001b[31m SSH-2.0-x\r\n\r\n')],
  ['socks5', text('\u001b[2J\u001b[2J')],
] as const)('%s: nothing of an escape sequence is told', async (scheme, answer) => {
  const failed = await failureOf(pass(scheme, [answer]));
  expect(failed.message).not.toContain('\u001b');
});
