// Every kind of forward over a real sshd: half-close, resets, bulk, crowds; bytes compared by hash.
import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Carrier } from '../../src/model/carrier.ts';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import type { Forward } from '../../src/model/forward.ts';
import type { Session } from '../../src/model/session.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  clientOf,
  dialSshd,
  makeCarrier,
  socksClientOf,
  testTarget,
  until,
  type TestTarget,
} from '../helpers/forward-scene.ts';
import { watchSocket } from '../helpers/socket-pair.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const base = { name: null, probe: null };
const auto = tcp('127.0.0.1', 0);
const path = (): Endpoint => ({ kind: 'unix', path: join(temporaryFolder('fwd'), 's') });

interface Kind {
  readonly name: string;
  readonly target: 'tcp' | 'unix';
  forward(target: Endpoint): Forward;
  connect(listen: string, target: Endpoint): Promise<Socket>;
}
const plain = (listen: string): Promise<Socket> => Promise.resolve(clientOf(listen));
/** sshd's queue on a unix socket holds 128; a full one answers EAGAIN at once, where TCP would wait. */
const patient = async (listen: string): Promise<Socket> => {
  for (;;) {
    const socket = clientOf(listen);
    const fault = await new Promise<NodeJS.ErrnoException | null>((resolve) =>
      socket.once('connect', () => resolve(null)).once('error', resolve),
    );
    if (fault === null) return socket;
    if (fault.code !== 'EAGAIN') throw fault;
  }
};
const kinds: readonly Kind[] = [
  {
    name: 'local tcp to tcp',
    target: 'tcp',
    forward: (target) => ({ ...base, type: 'local', listen: auto, target, protocol: null }),
    connect: plain,
  },
  {
    name: 'local unix to unix',
    target: 'unix',
    forward: (target) => ({ ...base, type: 'local', listen: path(), target, protocol: null }),
    connect: plain,
  },
  {
    name: 'remote tcp to tcp',
    target: 'tcp',
    forward: (target) => ({ ...base, type: 'remote', listen: auto, target, allow: [] }),
    connect: plain,
  },
  {
    name: 'remote unix to unix',
    target: 'unix',
    forward: (target) => ({ ...base, type: 'remote', listen: path(), target, allow: [] }),
    connect: patient,
  },
  {
    name: 'dynamic',
    target: 'tcp',
    forward: () => ({ ...base, type: 'dynamic', listen: auto, allow: [], socksAuth: null }),
    connect: socksClientOf,
  },
  {
    name: 'reverse dynamic',
    target: 'tcp',
    forward: () => ({ ...base, type: 'remote', listen: auto, target: null, allow: ['127.0.0.1:*'] }),
    connect: socksClientOf,
  },
];

const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const upperCase = (socket: Socket): void => {
  socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
  socket.on('end', () => socket.end());
};

describe.skipIf(sshdMissing() !== null).each(kinds)('$name', (kind) => {
  let sshd: Sshd;
  let session: Session;
  let carrier: Carrier;
  let target: TestTarget;
  const dial = (): Promise<Socket> => kind.connect(carrier.status().listen, target.at);
  const quiet = (): Promise<void> => until(() => carrier.status().open === 0);

  beforeAll(async () => {
    sshd = await startSshd({ config: ['StreamLocalBindUnlink yes'] });
    target = await testTarget(kind.target);
    ({ carrier } = makeCarrier(kind.forward(target.at)));
    await carrier.open();
    session = await dialSshd(sshd);
    carrier.link({ state: 'up', session });
    await until(() => carrier.status().bound);
  });
  afterAll(async () => {
    await carrier.close(0);
    await session.close();
    await target.stop();
    await sshd.stop();
  });

  test('a client that half-closes first gets its answer, and the counters are true', async () => {
    target.serve = upperCase;
    const client = await dial();
    const watched = watchSocket(client);
    client.end('this is a test');
    expect(await watched.ending).toBe('end');
    expect(watched.received().toString()).toBe('THIS IS A TEST');
    await quiet();
    expect(carrier.status()).toMatchObject({ total: 1, failed: 0, bytesIn: 14, bytesOut: 14, error: null });
  });

  test('a server that half-closes first still hears the client', async () => {
    let heard = '';
    target.serve = (socket) => {
      socket.end('hello');
      socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    };
    const client = await dial();
    const watched = watchSocket(client);
    expect(await watched.ending).toBe('end');
    expect(watched.received().toString()).toBe('hello');
    client.write('one ');
    client.end('two');
    await until(() => heard === 'one two');
    await quiet();
  });

  test('a client that resets ends the target', async () => {
    let closed = false;
    target.serve = (socket) => {
      socket.on('data', () => undefined);
      socket.once('close', () => (closed = true));
      socket.once('end', () => socket.end());
    };
    const client = await dial();
    client.write('x');
    await until(() => target.living() > 0);
    if (kind.target === 'tcp') client.resetAndDestroy();
    else client.destroy();
    await until(() => closed);
    await quiet();
  });

  test('a target that goes away ends the client', async () => {
    target.serve = (socket) =>
      socket.once('data', () => (kind.target === 'tcp' ? socket.resetAndDestroy() : socket.destroy()));
    const client = await dial();
    const watched = watchSocket(client);
    client.write('x');
    await watched.ending;
    client.end();
    await quiet();
  });

  test('100 MB each way at once arrive whole', async () => {
    const size = 100 * 1024 * 1024;
    const down = randomBytes(size);
    const up = randomBytes(size);
    const received = createHash('sha256');
    let ended = (_digest: string): void => undefined;
    const digest = new Promise<string>((resolve) => (ended = resolve));
    target.serve = (socket) => {
      socket.on('data', (chunk: Buffer) => received.update(chunk));
      socket.once('end', () => ended(received.digest('hex')));
      socket.end(down);
    };
    const client = await dial();
    const got = createHash('sha256');
    client.on('data', (chunk: Buffer) => got.update(chunk));
    client.resume();
    const end = new Promise((resolve) => client.once('end', resolve));
    client.end(up);
    await end;
    expect(got.digest('hex')).toBe(hash(down));
    expect(await digest).toBe(hash(up));
    await quiet();
  });

  test('200 connections at once are served and leave nothing', async () => {
    target.serve = upperCase;
    const before = carrier.status();
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const client = await dial();
        const watched = watchSocket(client);
        client.end(`number ${index}`);
        const ending = await watched.ending;
        return `${ending} ${watched.received().toString()}`;
      }),
    );
    expect(answers).toEqual(Array.from({ length: 200 }, (_, index) => `end NUMBER ${index}`));
    await quiet();
    expect(carrier.status()).toMatchObject({ total: before.total + 200, failed: before.failed });
    await until(() => target.living() === 0);
  });

  test('a lost session resets what runs, and the next one brings the same address back', async () => {
    const { listen } = carrier.status();
    target.serve = upperCase;
    const client = await dial();
    const watched = watchSocket(client);
    client.write('x');
    await until(() => watched.received().length === 1);
    const ended = new Promise<void>((resolve) => session.onEnd(() => resolve()));
    sshd.signalSessions('SIGKILL');
    await ended;
    carrier.link({ state: 'away', sinceMs: performance.now(), failures: 0, reached: false });
    const ending = await watched.ending;
    // On the server's side nobody of ours is there to send a reset; a unix socket knows none.
    if (kind.target === 'tcp' && !kind.name.startsWith('re')) expect(ending).toBe('reset');
    await quiet();
    session = await dialSshd(sshd);
    carrier.link({ state: 'up', session });
    await until(() => carrier.status().bound);
    expect(carrier.status().listen).toBe(listen);
    const again = await dial();
    const answer = watchSocket(again);
    again.end('back');
    await answer.ending;
    expect(answer.received().toString()).toBe('BACK');
  });
});
