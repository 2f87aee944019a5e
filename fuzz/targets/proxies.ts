// Proxies: clients of ours (SOCKS 4, 4a, 5 and HTTP CONNECT), and the answers of those that we are clients of.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import { createHandshake, loginCheck } from '../../src/forward/proxy-request.ts';
import { TunnelError } from '../../src/errors.ts';
import { isVisible } from '../../src/model/clean.ts';
import { passProxy } from '../../src/ssh/transport/proxy.ts';
import { FakeClock } from '../../test/helpers/fake-clock.ts';
import { fullHost } from '../../test/helpers/host.ts';
import { corpusOf, inherited, sameInPieces, splits, type Target } from '../target.ts';

/** What a client asked, what it was told, and what is left for the target. */
function shake(pieces: readonly Buffer[], withLogin: boolean): string {
  const replies: Buffer[] = [];
  const push = createHandshake(withLogin ? loginCheck('me', 'secret') : null, (reply) => replies.push(reply));
  for (const [index, piece] of pieces.entries()) {
    const done = push(piece);
    if (done === null) continue;
    const { asked, rest } = done;
    const told = Buffer.concat(replies).toString('hex');
    if (asked.kind === 'refused') return `refused ${asked.why} ${asked.reply.toString('hex')} ${told}`;
    const { host, port } = asked.target;
    assert(port >= 1 && port <= 65_535);
    assert.match(host, /^[\x21-\x7e]{1,255}$/);
    if (host.includes(':')) assert.equal(isIP(host), 6, host);
    const left = Buffer.concat([rest, ...pieces.slice(index + 1)]).toString('hex');
    return `${asked.protocol} ${host} ${port} ${told} ${left}`;
  }
  return `more ${Buffer.concat(replies).toString('hex')}`;
}

function check(bytes: Buffer): string {
  for (const withLogin of [false, true]) sameInPieces(bytes, (pieces) => shake(pieces, withLogin));
  return shake([bytes], false).split(' ').slice(0, 2).join(' ').slice(0, 40);
}

export const socksTarget: Target = {
  name: 'socks',
  corpus: corpusOf('fuzz/socks'),
  words: [
    ...inherited,
    '\x05\x01\x00',
    '\x05\x01\x02',
    '\x04\x01',
    '\x01\x02me\x06secret',
    '\x03\x04host',
    '\0',
    '[::1]',
    '@[',
  ],
  check,
};

export const connectTarget: Target = {
  name: 'http-connect',
  corpus: corpusOf('fuzz/http-connect'),
  words: [
    ...inherited,
    'CONNECT ',
    ' HTTP/1.1\r\n',
    '\r\n\r\n',
    '\n\n',
    '[::1]:22',
    '@[',
    'Proxy-Authorization: Basic bWU6c2VjcmV0\r\n',
    ':65536',
  ],
  check,
};

/** As much of a socket as the proxy's reader uses: pieces come in turns of their own, then the end. */
class FedSocket extends EventEmitter {
  left: Buffer = Buffer.alloc(0);
  write(): boolean {
    return true;
  }
  pause(): this {
    return this;
  }
  unshift(bytes: Buffer): void {
    this.left = Buffer.concat([bytes, this.left]);
  }
  feed(pieces: readonly Buffer[]): void {
    for (const piece of pieces) if (!this.emit('data', piece)) this.left = Buffer.concat([this.left, piece]);
    this.emit('end');
  }
}

async function pass(
  scheme: 'socks5' | 'http',
  pieces: readonly Buffer[],
  withLogin: boolean,
): Promise<string> {
  const socket = new FedSocket();
  const host = fullHost({ proxy: { scheme, host: 'gate', port: 1080, user: null, password: null } });
  const clock = new FakeClock();
  const limits = { clock, signal: new AbortController().signal };
  const login = withLogin ? { user: 'me', password: 'secret' } : { user: null, password: null };
  const passed = passProxy(socket as unknown as Socket, host, login, limits);
  socket.feed(pieces);
  try {
    await passed;
    return `passed ${socket.left.toString('hex')}`;
  } catch (thrown) {
    assert(thrown instanceof TunnelError, String(thrown));
    assert(['UNREACHABLE', 'AUTH_REFUSED'].includes(thrown.code), thrown.code);
    assert(isVisible(thrown.message) && thrown.message.length < 1000);
    return `${thrown.code} ${thrown.message}`;
  }
}

function proxyCheck(scheme: 'socks5' | 'http'): (bytes: Buffer) => Promise<string> {
  return async (bytes) => {
    const withLogin = ((bytes[0] ?? 0) & 1) === 1;
    const whole = await pass(scheme, [bytes], withLogin);
    for (const pieces of splits(bytes)) assert.equal(await pass(scheme, pieces, withLogin), whole);
    return whole.replace(/[0-9a-f]{2,}/g, '').slice(0, 60);
  };
}

export const socksProxyTarget: Target = {
  name: 'socks-answer',
  corpus: corpusOf('fuzz/socks-answer'),
  words: [
    '\x05\x00',
    '\x05\x02\x01\x00',
    '\x05\x00\x00\x01\0\0\0\0\0\0',
    '\x05\x00\x00\x03\x04',
    'SSH-2.0-x\r\n',
  ],
  check: proxyCheck('socks5'),
};

export const httpProxyTarget: Target = {
  name: 'http-answer',
  corpus: corpusOf('fuzz/http-answer'),
  words: [
    'HTTP/1.1 200\r\n\r\n',
    'HTTP/1.0 407 No\n\n',
    'HTTP/1.1 100 \n\n',
    '\r\n',
    '\n',
    '\u001b[31m',
    '\u202e',
    'SSH-2.0-x\r\n',
  ],
  check: proxyCheck('http'),
};
