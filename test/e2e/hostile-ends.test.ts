// A far end that means harm, and the rest of the supervisor: other tunnels go on, commands are answered, and memory stays small.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { clientAt, exchange, onlyForward } from '../helpers/forwards-world.ts';
import {
  startHybridServer,
  string,
  uint32,
  type HybridServerOptions,
  type RawPeer,
} from '../helpers/hybrid-server.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, type World } from '../helpers/world.ts';

const mib = 1024 * 1024;
/** What a far end sends in vain, and what of it may be found in the supervisor at any time: garbage that waits, mostly. */
const flood = 320 * mib;
const mostGrowth = 256 * mib;

const message = (type: number, ...parts: Buffer[]): Buffer => Buffer.concat([Buffer.from([type]), ...parts]);
const words = 'x'.repeat(32 * 1024 - 100);

/** Says it again and again, as fast as it is taken. */
async function pour(socket: Socket, say: () => void): Promise<void> {
  const closed = once(socket, 'close');
  while (socket.bytesWritten < flood && !socket.destroyed) {
    say();
    if (!socket.writableNeedDrain) continue;
    const drained = new AbortController();
    await Promise.race([once(socket, 'drain', { signal: drained.signal }), closed]);
    drained.abort();
  }
}

interface FarEnd extends AsyncDisposable {
  /** Of the host `far`, and of the tunnel `bad` in the config. */
  readonly host: string;
  readonly tunnel: string;
  /** Resolves when it has done its worst. */
  worst(world: World): Promise<void>;
}

/** An SSH server that lets us in, and then does this. */
async function server(
  worst: (peer: RawPeer, world: World) => Promise<void>,
  options: HybridServerOptions = {},
  more = '',
): Promise<FarEnd> {
  const hybrid = await startHybridServer(options);
  return {
    host: `hostname: 127.0.0.1, port: ${hybrid.port}${more}`,
    tunnel: 'host: far, local: auto, remote: 9',
    async worst(world) {
      await world.until('bad', ({ state }) => state === 'up');
      await worst(hybrid.peer(), world);
    },
    [Symbol.asyncDispose]: () => hybrid[Symbol.asyncDispose](),
  };
}

const says = (piece: Buffer): Promise<FarEnd> => server((peer) => pour(peer.socket, () => peer.send(piece)));

/** A program between us and the server; it is at its worst when status says this of the tunnel. */
const command = async (line: string, says: RegExp): Promise<FarEnd> => ({
  host: `hostname: 127.0.0.1, proxy_command: "${line}"`,
  tunnel: 'host: far, local: auto, remote: 9',
  async worst(world) {
    await world.until('bad', ({ error }) => says.test(error?.message ?? ''));
  },
  [Symbol.asyncDispose]: () => Promise.resolve(),
});

/** Never opened, never refused: as many as a forward may ask for at once. */
const opensNothing = (): Promise<FarEnd> => {
  let asked = 0;
  const heard: HybridServerOptions['heard'] = ([type]) => type === 90 && (asked += 1) > 0;
  return server(
    async (_peer, world) => {
      const { listen } = onlyForward(await world.tunnel('bad'));
      const clients = Array.from({ length: 200 }, () => clientAt(listen).on('error', () => undefined));
      await expect.poll(() => asked, { timeout: 20_000 }).toBe(clients.length);
      for (const client of clients) client.destroy();
      // long before an answer is due
      await world.until('bad', (tunnel) => {
        const { open, held } = onlyForward(tunnel);
        return open + held === 0;
      });
    },
    { heard },
    ', connect_timeout: 10m',
  );
};

/** An FTP server behind a good SSH server, and a client that reads nothing until no more is taken for it, and then all. */
async function ftp(line: string): Promise<FarEnd> {
  const servers: Socket[] = [];
  const poured: Promise<void>[] = [];
  const target = await startTarget((socket) => {
    servers.push(socket);
    poured.push(pour(socket, () => socket.write(line.repeat(16))));
  });
  return {
    host: '',
    tunnel: `host: box, protocol: ftp, local: auto, remote: ${target.port}`,
    async worst(world) {
      const { listen } = onlyForward(await world.tunnel('bad'));
      const client = clientAt(listen).on('error', () => undefined);
      await expect.poll(() => poured.length).toBe(1);
      let before = -1;
      for (let same = 0; same < 5;) {
        const written = servers[0]?.bytesWritten ?? 0;
        same = written === before ? same + 1 : 0;
        before = written;
        await world.status();
      }
      client.resume();
      await poured[0];
      client.destroy();
    },
    [Symbol.asyncDispose]: () => target[Symbol.asyncDispose](),
  };
}

/** Bytes of a process that are in memory. */
const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

const rows: [string, () => Promise<FarEnd>][] = [
  ['a server that sends what is to be ignored, without end', () => says(message(2, string(words)))],
  [
    'a server that names extensions, without end',
    () => says(message(7, uint32(1), string('x'), string(words))),
  ],
  ['a server that answers no open', opensNothing],
  [
    'a proxy command that complains without end',
    () => command('x=1; while :; do seq 1 100000 >&2; done', /its proxy command says: \d/),
  ],
  ['a proxy command that sends bytes without end', () => command('cat /dev/zero', /does not speak SSH/)],
  ['an FTP server whose greeting never ends', () => ftp(`220-${words.slice(0, 4000)}\r\n`)],
];

describe.skipIf(sshdMissing() !== null || process.platform !== 'linux')('beside', () => {
  test.each(rows)('%s, the others go on, and nothing of it is kept', async (_what, meet) => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using far = await meet();
    await using world = createWorld();
    world.config(`
defaults: { user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port} }
  far: { ${far.host} }
tunnels:
  good: { host: box, local: auto, remote: ${target.port} }
  bad: { ${far.tunnel} }
`);
    const up = await world.run(['up', 'good']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    const { listen } = onlyForward(await world.tunnel('good'));
    const pid = (await world.status()).supervisor.pid ?? 0;
    const before = residentOf(pid);
    await world.run(['up', 'bad', '--timeout', '1s']);
    let over = false;
    const worst = far.worst(world).finally(() => (over = true));
    let most = 0;
    for (let turn = 0; turn < 10 || !over; turn += 1) {
      expect(await exchange(listen, `turn ${turn}`)).toEqual({ text: `TURN ${turn}`, error: null });
      most = Math.max(most, residentOf(pid) - before);
    }
    await worst;
    expect(most).toBeLessThan(mostGrowth);
    expect((await world.status()).supervisor.pid).toBe(pid);
    expect(await world.run(['down', 'bad'])).toMatchObject({ code: 0 });
    expect(await exchange(listen, 'after')).toEqual({ text: 'AFTER', error: null });
  });
});
