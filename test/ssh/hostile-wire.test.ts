// Servers that mean harm once they have let us in: each costs a bounded share, ends clearly, and disturbs nobody else.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { generateKey } from '../../src/demo/ssh-server.ts';
import type { TunnelError } from '../../src/errors.ts';
import type { Channel, Dialer, Session } from '../../src/model/session.ts';
import { readChannel } from '../helpers/channel-reader.ts';
import { failureOf } from '../helpers/failure.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  startHybridServer,
  string,
  uint32,
  type HybridServer,
  type HybridServerOptions,
  type RawPeer,
} from '../helpers/hybrid-server.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { hostOf, testContext, testDialer, type TestDialer } from '../helpers/ssh-dialer.ts';

const gcm = { kex: null, cipher: ['aes128-gcm@openssh.com'], mac: null, hostKey: null, pubkey: null };
const target = { kind: 'tcp', host: 'db.example.org', port: 5432 } as const;
const origin = { host: '127.0.0.1', port: 0 };
const limits = { timeoutMs: 5000 };
const mib = 1024 * 1024;

const message = (type: number, ...parts: Buffer[]): Buffer => Buffer.concat([Buffer.from([type]), ...parts]);

const identity = join(temporaryFolder('hostile-wire'), 'key');
writeFileSync(identity, generateKey().private, { mode: 0o600 });

let dialers: TestDialer;
let opened: AsyncDisposable[];
/** A session to a good server, of the same dialer: it must not notice anything. */
let neighbour: Session;
/** What the hostile server heard, and did not answer itself. */
let heard: Buffer[];

beforeEach(async () => {
  dialers = testDialer();
  opened = [];
  heard = [];
  neighbour = (await meet(dialers.dialer, { heard: takesChannels })).session;
  heard = [];
});

/** Whatever a test did to one session, the other one still carries. */
afterEach(async () => {
  try {
    const channel = await neighbour.openChannel(target, origin, limits);
    expect(await neighbour.ping(5000)).toBeGreaterThan(0);
    channel.close();
  } finally {
    for (const one of opened.toReversed()) await one[Symbol.asyncDispose]();
  }
});

interface Scene {
  readonly server: HybridServer;
  readonly session: Session;
  readonly peer: RawPeer;
}

async function meet(dialer: Dialer, options: HybridServerOptions = {}): Promise<Scene> {
  const server = await startHybridServer({
    ...options,
    heard: (payload, peer) => {
      heard.push(payload);
      return options.heard?.(payload, peer) === true;
    },
  });
  opened.push(server);
  const host = hostOf({ port: server.port, user: 'me', identity }, { algorithms: gcm });
  const session = await dialer.dial(host, { via: null, transport: null }, testContext());
  opened.push({ [Symbol.asyncDispose]: () => session.close() });
  return { server, session, peer: server.peer() };
}

const hostile = (options?: HybridServerOptions): Promise<Scene> => meet(dialers.dialer, options);

/** Answers an open with channel 7 there, and this window. */
const takes =
  (window: number, packet = 2 ** 15) =>
  (payload: Buffer, peer: RawPeer): boolean => {
    if (payload[0] !== 90) return false;
    const ours = payload.readUInt32BE(5 + payload.readUInt32BE(1));
    peer.send(message(91, uint32(ours), uint32(7), uint32(window), uint32(packet)));
    return true;
  };
const takesChannels = takes(2 ** 21);

const endOf = (session: Session): Promise<TunnelError | null> =>
  new Promise((resolve) => session.onEnd(resolve));
const sent = (...types: number[]): Buffer[] => heard.filter(([type]) => types.includes(type ?? 0));
const bytesOf = (messages: readonly Buffer[]): number =>
  messages.reduce((sum, each) => sum + each.readUInt32BE(5), 0);
/** Two round trips: what was sent is read there, and the answers to it here. */
async function bothWays(session: Session): Promise<void> {
  await session.ping(5000);
  await session.ping(5000);
}

describe('a window', () => {
  test('of 0 holds the writer, not the session, until it is more', async () => {
    const { session, peer } = await hostile({ heard: takes(0) });
    const channel = await session.openChannel(target, origin, limits);
    readChannel(channel);
    expect(channel.write(randomBytes(mib))).toBe(false);
    await bothWays(session);
    expect(sent(94)).toEqual([]);
    peer.send(message(93, uint32(0), uint32(1000)));
    await bothWays(session);
    expect(bytesOf(sent(94))).toBe(1000);
  });

  test('that is made more than 2^32 is a very large one, none that begins anew', async () => {
    const { session, peer } = await hostile({ heard: takes(2 ** 31) });
    const channel = await session.openChannel(target, origin, limits);
    readChannel(channel);
    peer.send(message(93, uint32(0), uint32(2 ** 31)));
    for (let times = 0; times < 3; times += 1) peer.send(message(93, uint32(0), uint32(2 ** 32 - 1)));
    peer.send(message(93, uint32(0), uint32(3)));
    await bothWays(session);
    channel.write(randomBytes(1000));
    await bothWays(session);
    expect(bytesOf(sent(94))).toBe(1000);
  });

  test('of packets of 0 bytes is one of packets of one', async () => {
    const { session } = await hostile({ heard: takes(100, 0) });
    const channel = await session.openChannel(target, origin, limits);
    readChannel(channel);
    channel.write(randomBytes(1000));
    await bothWays(session);
    expect(sent(94).map((each) => each.readUInt32BE(5))).toEqual(Array<number>(100).fill(1));
  });

  test('of ours that the server sends beyond costs it that channel, and no memory', async () => {
    const { session, peer } = await hostile({ heard: takesChannels });
    const channel = await session.openChannel(target, origin, limits);
    let got = 0;
    channel.attach({ data: (chunk) => (got += chunk.length), end() {}, closed() {}, drain() {} });
    const window = sent(90)[0]?.readUInt32BE(4 + 1 + 'direct-tcpip'.length + 4) ?? 0;
    const chunk = message(94, uint32(0), string(randomBytes(32 * 1024)));
    for (let flood = 0; flood < 3 * window; flood += 32 * 1024) peer.send(chunk);
    await bothWays(session);
    expect(sent(97)).toHaveLength(1);
    expect(got).toBeLessThanOrEqual(window + 64 * 1024);
  });
});

describe('a packet after the key exchange', () => {
  const frame = (length: number): Buffer => Buffer.concat([uint32(length), randomBytes(64 + 16)]);
  test.each([0, 1, 12, 15, 17, 31, 256 * 1024 + 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1])(
    'of a length of %i ends its link alone',
    async (length) => {
      const { session, peer } = await hostile();
      const ended = endOf(session);
      peer.socket.write(frame(length));
      expect(await ended).toMatchObject({
        code: 'LINK_LOST',
        message: expect.stringContaining('packet length'),
      });
    },
  );

  test('that nobody with the keys has sealed ends its link', async () => {
    const { session, peer } = await hostile();
    const ended = endOf(session);
    peer.socket.write(frame(64));
    expect(await ended).toMatchObject({ code: 'LINK_LOST' });
  });

  test.each([
    ['more padding than packet', Buffer.concat([Buffer.from([255]), randomBytes(31)])],
    ['nothing but padding', Buffer.concat([Buffer.from([31]), randomBytes(31)])],
    ['no padding', Buffer.concat([Buffer.from([0, 2]), randomBytes(30)])],
  ])('with %s is none, or ends its link', async (_what, body) => {
    const { session, peer } = await hostile();
    const outcome = Promise.race([endOf(session), session.ping(5000).catch((error: unknown) => error)]);
    peer.seal(body);
    const said = await outcome;
    if (typeof said !== 'number') expect(said).toMatchObject({ code: 'LINK_LOST' });
  });
});

/** Every message about a channel, whole, about channel `id`. */
const channelMessages = (id: number): Buffer[] => [
  message(91, uint32(id), uint32(9), uint32(2 ** 21), uint32(2 ** 15)),
  message(92, uint32(id), uint32(2), string('no'), string('')),
  message(93, uint32(id), uint32(1000)),
  message(94, uint32(id), string('data')),
  message(95, uint32(id), uint32(1), string('data')),
  message(96, uint32(id)),
  message(97, uint32(id)),
  message(98, uint32(id), string('keepalive@openssh.com'), Buffer.of(1)),
  message(99, uint32(id)),
  message(100, uint32(id)),
];

describe('a channel that nobody opened', () => {
  test.each([55, 2 ** 31, 2 ** 32 - 1])(
    'by the number %i means nothing, whatever is said of it',
    async (id) => {
      const { session, peer } = await hostile({ heard: takesChannels });
      const read = readChannel(await session.openChannel(target, origin, limits));
      heard = [];
      for (const each of channelMessages(id)) peer.send(each);
      await bothWays(session);
      expect(sent(91, 92, 93, 94, 95, 96, 97, 98, 99, 100)).toEqual([]);
      peer.send(message(94, uint32(0), string('still here')));
      peer.send(message(96, uint32(0)));
      await read.ended;
      expect(read.bytes().toString()).toBe('still here');
    },
  );

  test('is not had twice by an open that is answered twice', async () => {
    const { session, peer } = await hostile({ heard: takesChannels });
    const read = readChannel(await session.openChannel(target, origin, limits));
    peer.send(message(91, uint32(0), uint32(9), uint32(2 ** 21), uint32(2 ** 15)));
    peer.send(message(92, uint32(0), uint32(2), string('no'), string('')));
    peer.send(message(94, uint32(0), string('one')));
    peer.send(message(96, uint32(0)));
    await read.ended;
    expect(read.bytes().toString()).toBe('one');
    const [first, second] = await Promise.all([
      session.openChannel(target, origin, limits),
      session.openChannel(target, origin, limits),
    ]);
    expect(first).not.toBe(second);
  });
});

describe('an open that is not answered', () => {
  test('ends in its time, alone; an answer that comes after all is closed again', async () => {
    const clock = manualClock();
    const { session, peer } = await meet(testDialer({ clock }).dialer, { heard: ([type]) => type === 90 });
    const inVain = Array.from({ length: 100 }, () => failureOf(session.openChannel(target, origin, limits)));
    await bothWays(session);
    expect(sent(90)).toHaveLength(100);
    clock.advance(limits.timeoutMs);
    for (const failed of inVain)
      expect(await failed).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'channel' } });
    for (let id = 0; id < 100; id += 1)
      peer.send(message(91, uint32(id), uint32(id), uint32(2 ** 21), uint32(2 ** 15)));
    await bothWays(session);
    expect(sent(97)).toHaveLength(100);
    const next = session.openChannel(target, origin, limits);
    await bothWays(session);
    const asked = sent(90).at(-1);
    const id = asked?.readUInt32BE(5 + asked.readUInt32BE(1)) ?? -1;
    peer.send(message(91, uint32(id), uint32(7), uint32(2 ** 21), uint32(2 ** 15)));
    (await next).close();
  });
});

describe('a message that is cut short', () => {
  const whole = [
    ...channelMessages(0),
    message(1, uint32(11), string('bye'), string('')),
    message(4, Buffer.of(1), string('words'), string('')),
    message(7, uint32(1), string('server-sig-algs'), string('ssh-ed25519')),
    message(53, string('Welcome'), string('')),
    message(80, string('hostkeys-00@openssh.com'), Buffer.of(1), string('key')),
    message(90, string('forwarded-tcpip'), uint32(1), uint32(1), uint32(1), string('a'), uint32(1)),
  ];
  test.each(whole.map((each) => [each[0], each] as const))(
    'of type %i means nothing or ends its link, with words about it',
    async (_type, each) => {
      const { session, peer } = await hostile();
      const ended = endOf(session);
      const outcome = Promise.race([ended, bothWays(session).catch(() => ended)]);
      peer.send(each.subarray(0, 1));
      peer.send(each.subarray(0, 3));
      peer.send(each.subarray(0, each.length - 1));
      const end = await outcome;
      if (end === undefined) return;
      expect(end).toMatchObject({ code: 'LINK_LOST' });
      expect(end?.message).toMatch(/Malformed|the server ended it/);
    },
  );
});

describe('a channel that the server opens unasked', () => {
  const tcp = (host: string): Buffer =>
    Buffer.concat([string(host), uint32(80), string('203.0.113.9'), uint32(1)]);
  const open = (kind: string, sender: number, rest: Buffer): Buffer =>
    message(90, string(kind), uint32(sender), uint32(2 ** 21), uint32(2 ** 15), rest);
  test.each([
    ['forwarded-tcpip', tcp('127.0.0.1')],
    ['forwarded-streamlocal@openssh.com', Buffer.concat([string('/run/docker.sock'), string('')])],
    ['x11', Buffer.concat([string('203.0.113.9'), uint32(6000)])],
    ['auth-agent@openssh.com', Buffer.alloc(0)],
    ['session', Buffer.alloc(0)],
    ['direct-tcpip', Buffer.concat([tcp('127.0.0.1')])],
    ['tun@openssh.com', Buffer.concat([uint32(1), uint32(0)])],
    ['\u001b[31m', Buffer.alloc(0)],
  ])('of kind %j is refused', async (kind, rest) => {
    const { session, peer } = await hostile();
    peer.send(open(kind, 3, rest));
    await bothWays(session);
    expect(sent(91)).toEqual([]);
    expect(sent(92).map((each) => each.readUInt32BE(1))).toEqual([3]);
    expect(dialers.logged.join()).not.toContain('\u001b');
  });

  test('a thousand times, from ever other addresses, is refused each time and told of twenty', async () => {
    const { session, peer } = await hostile();
    for (let at = 0; at < 1000; at += 1) peer.send(open('forwarded-tcpip', at, tcp(`10.0.0.${at}`)));
    await bothWays(session);
    expect(sent(92)).toHaveLength(1000);
    expect(dialers.logged.filter((line) => line.includes('remote-stray'))).toHaveLength(20);
  });
});

describe('a flood', () => {
  test.each([
    ['of IGNORE', message(2, string(randomBytes(100)))],
    ['of EXT_INFO', message(7, uint32(1), string('server-sig-algs'), string('ssh-ed25519'))],
    ['of UNIMPLEMENTED', message(3, uint32(1))],
    ['of answers to nothing', message(81)],
    ['of refusals of nothing', message(82)],
    ['of empty data', message(94, uint32(0), string(''))],
    ['of adjustments by nothing', message(93, uint32(0), uint32(0))],
  ])('%s leaves nothing behind, and the channel open', async (_what, each) => {
    const { session, peer } = await hostile({ heard: takesChannels });
    const read = readChannel(await session.openChannel(target, origin, limits));
    await bothWays(session);
    for (let times = 0; times < 5000; times += 1) peer.send(each);
    peer.send(message(94, uint32(0), string('after it')));
    peer.send(message(96, uint32(0)));
    await read.ended;
    expect(read.bytes().toString()).toBe('after it');
  });

  test('of DEBUG is remembered up to twenty lines', async () => {
    const { session } = await hostile({
      heard: (payload, peer) => {
        if (payload[0] !== 80 || !payload.includes('tcpip-forward')) return false;
        for (let line = 0; line < 5000; line += 1)
          peer.send(message(4, Buffer.of(1), string(`line ${line}`), string('')));
        return false;
      },
    });
    const refused = await failureOf(
      session.listenRemote({ kind: 'tcp', host: '127.0.0.1', port: 80 }, () => undefined, limits),
    );
    expect(refused.message).toContain('the server says: line 19');
  });
});

describe('host keys by the thousand', () => {
  const hostKeys = (count: number): Buffer =>
    message(
      80,
      string('hostkeys-00@openssh.com'),
      Buffer.of(1),
      ...Array.from({ length: count }, () =>
        string(Buffer.concat([string('ssh-ed25519'), string(randomBytes(32))])),
      ),
    );
  const proofs = (): number => heard.filter((each) => each.includes('hostkeys-prove')).length;

  test('are not asked for a proof; a few of them are', async () => {
    const { session, peer } = await hostile();
    for (let sum = 0; sum < 10_000; sum += 2500) peer.send(hostKeys(2500));
    await bothWays(session);
    expect(proofs()).toBe(0);
    expect(sent(82)).toHaveLength(4);
    const other = await hostile();
    other.peer.send(hostKeys(8));
    await bothWays(other.session);
    expect(proofs()).toBe(1);
  });

  test('are not read either while new keys are made', async () => {
    const { server, session } = await hostile({
      midway: (peer, done) => {
        if (done > 0) for (const count of [2500, 8]) peer.send(hostKeys(count));
      },
    });
    const rekeyed = server.reached(2);
    server.rekey();
    await rekeyed;
    await bothWays(session);
    expect(proofs()).toBe(0);
  });
});

describe('a later key exchange', () => {
  test.each([
    ['another host key', { shown: 1, signs: 1 }],
    ['a signature by another key', { shown: 0, signs: 1 }],
  ] as const)('with %s ends the link, and its connections uncleanly', async (_what, then) => {
    const { server, session } = await hostile({
      heard: takesChannels,
      keys: (done) => (done === 0 ? { shown: 0, signs: 0 } : then),
    });
    const channel: Channel = await session.openChannel(target, origin, limits);
    const clean = new Promise((resolve) =>
      channel.attach({ data() {}, end() {}, drain() {}, closed: resolve }),
    );
    const ended = endOf(session);
    server.rekey();
    expect(await ended).toMatchObject({ code: 'LINK_LOST' });
    expect(await clean).toBe(false);
  });

  test('and the first one with a signature by another key proves nothing: no key is stored, nothing is offered', async () => {
    const failed = await failureOf(hostile({ keys: () => ({ shown: 0, signs: 1 }) }));
    expect(failed).toMatchObject({ code: 'KEX_FAILED', facts: { layer: 'kex' } });
    expect(sent(5, 50)).toEqual([]);
    expect((await dialers.trust.read([])).entries).toHaveLength(1); // the neighbour's
  });
});
