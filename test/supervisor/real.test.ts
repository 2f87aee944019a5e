// The engine over the real dialer, real carriers and a real sshd: what the fakes cannot show.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCarrier } from '../../src/forward/create.ts';
import { systemClock } from '../../src/model/clock.ts';
import type { Forward } from '../../src/model/forward.ts';
import type { Way } from '../../src/model/host.ts';
import type { ForwardStatus, TunnelStatus } from '../../src/model/status.ts';
import type { Tunnel } from '../../src/model/tunnel.ts';
import type { Engine } from '../../src/supervisor/engine.ts';
import { createEngine } from '../../src/supervisor/supervisor.ts';
import { configOf, local, offTerminal, onTerminal, remote, tunnelOf } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts';
import { hostOf, testDialer } from '../helpers/ssh-dialer.ts';
import type { Sshd } from '../helpers/sshd.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { hashing, outcomeOf, request, startTarget, uppercase } from '../helpers/targets.ts';
import type { Target } from '../helpers/targets.ts';
import { eventually, logins } from '../helpers/ways-in.ts';
import { isAlive } from '../helpers/world.ts';

const limit = (): AbortSignal => AbortSignal.timeout(20_000);

async function engineOf(tunnels: readonly Tunnel[], clock = systemClock): Promise<Engine> {
  const engine = createEngine({
    dialer: testDialer({ clock }).dialer,
    createCarrier,
    clock: systemClock,
    random: Math.random,
    log: () => undefined,
    ports: {},
  });
  await engine.apply(configOf(...tunnels), { prune: false });
  return engine;
}

function until(engine: Engine, name: string, met: (status: TunnelStatus) => boolean): Promise<TunnelStatus> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const status = engine.status([name])[0];
      if (status === undefined || !met(status)) return;
      cancel();
      resolve(status);
    };
    const cancel = engine.onChange(look);
    limit().addEventListener('abort', () =>
      reject(new Error(JSON.stringify(engine.status([name]), null, 1))),
    );
    look();
  });
}

/** An open connection that says how it ended; rejects where nothing listens. */
async function client(port: number): Promise<{ socket: Socket; ended: Promise<string | null> }> {
  const socket = connect({ port, host: '127.0.0.1' });
  const ended = new Promise<string | null>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.on('close', () => resolve(null));
  });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return { socket, ended };
}

describe.skipIf(sshdMissing() !== null)('against a real sshd', () => {
  let sshd: Sshd & AsyncDisposable;
  let target: Target;
  let port: number;
  const engines: Engine[] = [];
  const engineFor = async (...tunnels: Tunnel[]): Promise<Engine> => {
    const engine = await engineOf(tunnels);
    engines.push(engine);
    return engine;
  };

  beforeAll(async () => {
    sshd = await startSshd();
    target = await startTarget(uppercase);
  });
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.close(0);
  });
  afterAll(async () => {
    await sshd[Symbol.asyncDispose]();
    await target[Symbol.asyncDispose]();
  });

  const tunnel = (way?: Way): Tunnel =>
    tunnelOf('upper', way ?? [hostOf(sshd)], local(port, `127.0.0.1:${target.port}`));

  test('text goes in and TEXT comes out, and down frees the port', async () => {
    const engine = await engineFor(tunnel());
    engine.up(['upper'], offTerminal);
    expect(await engine.settled('upper', limit())).toBeNull();
    expect((await request(port, 'this is a test')).text).toBe('THIS IS A TEST');
    const [status] = engine.status(['upper']);
    expect(status?.forwards[0]).toMatchObject({ total: 1, failed: 0, bytesIn: 14, bytesOut: 14, open: 0 });
    expect(engine.loginSteps('upper')?.map(({ layer }) => layer)).toEqual(
      expect.arrayContaining(['tcp', 'kex', 'host-key', 'auth']),
    );
    await engine.down(['upper'], 0);
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
  });

  test('a killed session resets what ran, and what comes meanwhile is served', async () => {
    const engine = await engineFor(tunnel());
    engine.up(['upper'], offTerminal);
    await engine.settled('upper', limit());
    const running = await client(port);
    running.socket.write('x');
    await new Promise((resolve) => running.socket.once('data', resolve));
    sshd.signalSessions('SIGKILL');
    expect(await running.ended).toBe('ECONNRESET');
    expect((await request(port, 'held', { halfClose: false })).text).toBe('HELD');
    const status = await until(engine, 'upper', ({ state }) => state === 'up');
    expect(status).toMatchObject({ reconnects: 1, lastError: { code: 'LINK_LOST' } });
  });

  describe('a proxy command', () => {
    /** It tells each start, then runs `words`. The dialer's time stands still until it is moved. */
    async function throughCommand(words: string): Promise<{
      engine: Engine;
      clock: ManualClock;
      starts: () => string[];
      said: string[];
    }> {
      const folder = temporaryFolder('command');
      const [file, script] = [join(folder, 'starts'), join(folder, 'way.sh')];
      writeFileSync(script, `#!/bin/sh\ncd ${folder}\necho $$ >> ${file}\n${words}\n`, { mode: 0o755 });
      const clock = manualClock();
      const host = hostOf(sshd, { proxyCommand: `${script} %h %p`, firstWordsMs: null });
      const engine = await engineOf([tunnel([host])], clock);
      engines.push(engine);
      const said: string[] = [];
      engine.hear(['upper'], { banner: (who, text) => said.push(`${who}: ${text}`) });
      engine.up(['upper'], offTerminal);
      const starts = (): string[] => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
      return { engine, clock, starts, said };
    }

    test('that waits for a person is left alone by time, by a wake and by whoever comes', async () => {
      const words = 'echo code 42 >&2\nuntil [ -e person ]; do sleep 0.05; done\nexec nc "$1" "$2"';
      const { engine, clock, starts, said } = await throughCommand(words);
      await until(engine, 'upper', ({ error }) => error?.message.includes('code 42') === true);
      expect(said).toEqual(["test's proxy command: code 42"]);
      clock.advance(3_600_000);
      engine.lookAround('woke after 3600s');
      engine.up(['upper'], onTerminal);
      const late: string[] = [];
      engine.hear(['upper'], { banner: (who, text) => late.push(`${who}: ${text}`) });
      expect(late).toEqual(said);
      expect(engine.status(['upper'])[0]).toMatchObject({ state: 'connecting' });
      const [pid] = starts();
      writeFileSync(join('/proc', String(pid), 'cwd', 'person'), '');
      expect(await engine.settled('upper', limit(), 'up')).toBeNull();
      expect(starts()).toEqual([pid]);
      engine.hear(['upper'], { banner: (who, text) => late.push(`${who}: ${text}`) });
      expect(late).toEqual(said);
    });

    test('that says nothing is ended by a wake, and begun anew', async () => {
      const { engine, starts } = await throughCommand('exec sleep 1000');
      await expect.poll(starts).toHaveLength(1);
      engine.lookAround('eth0 10.0.0.2 came up');
      await expect.poll(starts).toHaveLength(2);
      await expect.poll(() => isAlive(Number(starts()[0]))).toBe(false);
      expect(engine.status(['upper'])[0]).toMatchObject({ state: 'connecting' });
    });
  });

  test('a connection is counted to its end, whatever becomes of its address, and then in the totals', async () => {
    const [second, third] = [await freePort(), await freePort()];
    const at = `127.0.0.1:${target.port}`;
    const forwardAt = (listen: number, name: string): Forward => ({ ...local(listen, at), name });
    const engine = await engineFor(
      tunnelOf('upper', [hostOf(sshd)], [forwardAt(port, 'a'), forwardAt(second, 'b')]),
    );
    const rows = (): Partial<ForwardStatus>[] =>
      engine
        .status(['upper'])
        .flatMap(({ forwards }) => forwards)
        .map(({ name, open, total, bytesOut }) => ({ name, open, total, bytesOut }));
    engine.up(['upper'], offTerminal);
    expect(await engine.settled('upper', limit())).toBeNull();
    const running = [await client(port), await client(second)];
    const say = async (): Promise<void> => {
      for (const { socket } of running) {
        socket.write('x');
        await new Promise((resolve) => socket.once('data', resolve));
      }
    };
    await say();
    // one forward moves twice, the other leaves
    const apply = async (listen: number): Promise<unknown> =>
      engine.apply(configOf(tunnelOf('upper', [hostOf(sshd)], [forwardAt(listen, 'a')])), { prune: false });
    await apply(third);
    await say();
    await apply(await freePort());
    await say();
    expect(rows()).toEqual([
      { name: 'a', open: 1, total: 1, bytesOut: 3 },
      { name: 'b', open: 1, total: 1, bytesOut: 3 },
    ]);
    for (const { socket } of running) socket.end();
    await until(engine, 'upper', ({ forwards }) => forwards.length === 1 && forwards[0]?.open === 0);
    expect(rows()).toEqual([{ name: 'a', open: 0, total: 1, bytesOut: 3 }]);
    await engine.down(['upper'], 0);
    engine.up(['upper'], offTerminal);
    expect(rows()).toEqual([{ name: 'a', open: 0, total: 0, bytesOut: 0 }]);
  });

  test('a stopped sshd is noticed when it is back, within a moment of a held client', async () => {
    const engine = await engineFor(tunnel());
    engine.up(['upper'], offTerminal);
    await engine.settled('upper', limit());
    await sshd.stop();
    const held = request(port, 'patience', { halfClose: false });
    const status = await until(
      engine,
      'upper',
      ({ state, error }) => state === 'retrying' && error?.code === 'UNREACHABLE',
    );
    expect(status.retryAt).not.toBeNull();
    await sshd.start();
    expect((await held).text).toBe('PATIENCE');
  });

  test('a chain of three hops carries, and comes back as a whole', async () => {
    const way: Way = [
      hostOf(sshd, { name: 'one' }),
      hostOf(sshd, { name: 'two' }),
      hostOf(sshd, { name: 'three' }),
    ];
    const engine = await engineFor(tunnel(way));
    engine.up(['upper'], offTerminal);
    expect(await engine.settled('upper', limit())).toBeNull();
    expect((await request(port, 'deep')).text).toBe('DEEP');
    sshd.signalSessions('SIGKILL');
    expect((await request(port, 'again', { halfClose: false })).text).toBe('AGAIN');
    expect(await until(engine, 'upper', ({ state }) => state === 'up')).toMatchObject({
      via: ['one', 'two'],
    });
  });

  test('restart keeps the connections of another tunnel on the same link', async () => {
    const other = await freePort();
    const two = tunnelOf('two', [hostOf(sshd)], local(other, `127.0.0.1:${target.port}`));
    const engine = await engineFor(tunnel(), two);
    engine.up(['upper', 'two'], offTerminal);
    await Promise.all([engine.settled('upper', limit()), engine.settled('two', limit())]);
    const [mine, theirs] = [await client(port), await client(other)];
    for (const { socket } of [mine, theirs]) {
      socket.write('x');
      await new Promise((resolve) => socket.once('data', resolve));
    }
    const before = engine.status(['two'])[0]?.link;
    await engine.restart(['upper'], offTerminal);
    expect(await mine.ended).toBe('ECONNRESET');
    expect(await engine.settled('upper', limit())).toBeNull();
    theirs.socket.write('still');
    expect(String(await new Promise((resolve) => theirs.socket.once('data', resolve)))).toBe('STILL');
    expect(engine.status(['two'])[0]?.link).not.toBe(before);
    theirs.socket.end();
  });

  test('a remote port is back on the same number after a loss', async () => {
    const listen = await freePort();
    const forward = {
      ...remote(listen),
      target: { kind: 'tcp', host: '127.0.0.1', port: target.port },
    } as const;
    const engine = await engineFor(tunnelOf('hooks', [hostOf(sshd)], forward));
    engine.up(['hooks'], offTerminal);
    expect(await engine.settled('hooks', limit())).toBeNull();
    expect((await request(listen, 'remote')).text).toBe('REMOTE');
    sshd.signalSessions('SIGKILL');
    await until(engine, 'hooks', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    expect((await request(listen, 'again')).text).toBe('AGAIN');
    await engine.down(['hooks'], 0);
    await expect(client(listen)).rejects.toThrow('ECONNREFUSED');
  });

  test('many rotations disturb no transfer, no client and no remote port, and leave one session', async () => {
    const [listen, bulkPort] = [await freePort(), await freePort()];
    await using bulk = await startTarget(hashing);
    const to = { kind: 'tcp', host: '127.0.0.1', port: target.port } as const;
    const forwards = [
      local(port, `127.0.0.1:${target.port}`),
      { ...local(bulkPort, `127.0.0.1:${bulk.port}`), name: 'bulk' },
      { ...remote(listen), target: to, name: 'hooks' },
    ];
    const engine = await engineFor(tunnelOf('upper', [hostOf(sshd)], forwards, { rotateMs: 1_000 }));
    engine.up(['upper'], offTerminal);
    expect(await engine.settled('upper', limit())).toBeNull();
    const before = sshd.sessionPids().length;
    const sessions = new Set<unknown>([engine.examine('upper')?.session]);
    const transfer = connect({ port: bulkPort, host: '127.0.0.1' });
    const answer: string[] = [];
    transfer.on('data', (chunk) => answer.push(chunk.toString()));
    const ended = new Promise((resolve, reject) => transfer.on('close', resolve).on('error', reject));
    const hash = createHash('sha256');
    for (let sent = 0; sessions.size < 4; sent += 1) {
      const chunk = randomBytes(16_384);
      hash.update(chunk);
      if (!transfer.write(chunk))
        await Promise.race([new Promise((resolve) => transfer.once('drain', resolve)), ended]);
      if (sent % 20 === 0) expect((await request(port, `n${sent}`)).text).toBe(`N${sent}`);
      sessions.add(engine.examine('upper')?.session);
    }
    transfer.end();
    await ended;
    expect(answer.join('')).toBe(hash.digest('hex'));
    await engine.apply(configOf(tunnelOf('upper', [hostOf(sshd)], forwards)), { prune: false });
    const status = await until(engine, 'upper', ({ state }) => state === 'up');
    expect(status).toMatchObject({ reconnects: 0, lastError: null });
    expect((await request(listen, 'moved')).text).toBe('MOVED');
    await vi.waitUntil(() => sshd.sessionPids().length === before, { timeout: 10_000, interval: 50 });
    await engine.down(['upper'], 0);
    await expect(client(listen)).rejects.toThrow('ECONNREFUSED');
  });

  test('rotations over a jump host disturb no transfer, and pile up no sessions at either server', async () => {
    await using gate = await startSshd();
    await using bulk = await startTarget(hashing);
    const way: Way = [hostOf(gate, { name: 'gate' }), hostOf(sshd)];
    const forward = local(port, `127.0.0.1:${bulk.port}`);
    const engine = await engineFor(tunnelOf('upper', way, forward, { rotateMs: 1_000 }));
    engine.up(['upper'], offTerminal);
    expect(await engine.settled('upper', limit())).toBeNull();
    const sessions = new Set<unknown>([engine.examine('upper')?.session]);
    const atGate = logins(gate);
    const transfer = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const outcome = outcomeOf(transfer);
    const hash = createHash('sha256');
    while (!transfer.closed && (sessions.size < 3 || logins(gate) < atGate + 2)) {
      const chunk = randomBytes(16_384);
      hash.update(chunk);
      transfer.write(chunk);
      const session = engine.examine('upper')?.session;
      sessions.add(session);
      // at the pace of round trips: as fast as it goes, it would leave the logins no time on a busy machine
      await session?.ping(20_000).catch(() => 0);
    }
    transfer.end();
    expect(await outcome).toEqual({ text: hash.digest('hex'), error: null });
    await engine.apply(configOf(tunnelOf('upper', way, forward)), { prune: false });
    const status = await until(engine, 'upper', ({ state }) => state === 'up');
    expect(status).toMatchObject({ reconnects: 0, lastError: null });
    await eventually(() => [gate, sshd].every((each) => each.sessionPids().length === 1));
  });
});
