// 200 MB through the tunnel, both ways, while the server rekeys, compared by hash; and a client that does not read.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { hashing, startTarget } from '../helpers/targets.ts';
import { createWorld, type World } from '../helpers/world.ts';

const size = 200 * 1024 * 1024;
/** Not compressible by accident, and made without 200 MB of randomness. */
const block = Buffer.alloc(1024 * 1024, createHash('sha512').update('block').digest());
const blocks = size / block.length;
const expected = ((): string => {
  const hash = createHash('sha256');
  for (let index = 0; index < blocks; index += 1) hash.update(block);
  return hash.digest('hex');
})();

async function upWith(
  world: World,
  port: number,
  user: string,
  identity: string,
  target: number,
): Promise<number> {
  world.config(`
hosts:
  box: { hostname: 127.0.0.1, port: ${port}, user: ${user}, identity: [${identity}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: auto, remote: "127.0.0.1:${target}" }
`);
  const ran = await world.run(['up']);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  return Number((await world.tunnel('db')).forwards[0]?.listen.split(':').at(-1));
}

/** Writes the 200 MB and ends; honours backpressure. */
async function pour(socket: NodeJS.WritableStream): Promise<void> {
  for (let index = 0; index < blocks; index += 1) {
    if (!socket.write(block)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  socket.end();
}

describe.skipIf(sshdMissing() !== null).each([
  ['with one key exchange', []],
  ['with a rekey every 4 MB', ['RekeyLimit 4M']],
])('200 MB %s', (_, config) => {
  test('arrive identical from client to target, the client half-closing first', async () => {
    await using sshd = await startSshd({ config });
    await using target = await startTarget(hashing);
    await using world = createWorld();
    const local = await upWith(world, sshd.port, sshd.user, sshd.identity, target.port);
    const socket = connect({ port: local, host: '127.0.0.1', allowHalfOpen: true });
    const answer = new Promise<string>((resolve, reject) => {
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.once('end', () => resolve(text));
      socket.once('error', reject);
    });
    await pour(socket);
    expect(await answer).toBe(expected);
    expect((await world.tunnel('db')).forwards[0]).toMatchObject({ bytesOut: size, bytesIn: 64, failed: 0 });
  });

  test('arrive identical from target to client, the server half-closing first', async () => {
    await using sshd = await startSshd({ config });
    let rest = '';
    const ended = deferred();
    await using target = await startTarget((socket) => {
      void pour(socket);
      socket.on('data', (chunk) => (rest += chunk.toString()));
      socket.once('end', () => ended.resolve());
    });
    await using world = createWorld();
    const local = await upWith(world, sshd.port, sshd.user, sshd.identity, target.port);
    const socket = connect({ port: local, host: '127.0.0.1', allowHalfOpen: true });
    const hash = createHash('sha256');
    await new Promise((resolve, reject) => {
      socket.on('data', (chunk) => hash.update(chunk));
      socket.once('end', resolve);
      socket.once('error', reject);
    });
    expect(hash.digest('hex')).toBe(expected);
    socket.end('said after the end');
    await ended.promise;
    expect(rest).toBe('said after the end');
  });
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

describe.skipIf(sshdMissing() !== null)('a client that does not read', () => {
  test('makes memory grow by a bounded amount, and gets everything when it reads', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget((socket) => void pour(socket));
    await using world = createWorld();
    const local = await upWith(world, sshd.port, sshd.user, sshd.identity, target.port);
    const pid = (await world.status()).supervisor.pid ?? 0;
    const residentBytes = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
    const before = residentBytes();
    const socket = connect({ port: local, host: '127.0.0.1' });
    socket.pause();
    // the flow has stopped when the byte count stays the same over two looks
    let bytes = -1;
    for (let same = 0; same < 3;) {
      const now = (await world.tunnel('db')).forwards[0]?.bytesIn ?? 0;
      same = now === bytes && now > 0 ? same + 1 : 0;
      bytes = now;
    }
    expect(bytes).toBeLessThan(size / 2);
    expect(residentBytes() - before).toBeLessThan(64 * 1024 * 1024);
    const hash = createHash('sha256');
    socket.on('data', (chunk) => hash.update(chunk));
    socket.resume();
    await new Promise((resolve) => socket.once('end', resolve));
    expect(hash.digest('hex')).toBe(expected);
  });
});
