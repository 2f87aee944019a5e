// Outages, from outside: whatever happens to the server, the port never refuses and never lies.
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { sendSignal, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { outcomeOf, request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, type World } from '../helpers/world.ts';

async function upWorld(world: World, sshd: Sshd, target: number, more = ''): Promise<number> {
  const local = await freePort();
  world.config(`
defaults:
  keepalive: { interval: 500ms, count: 2 }
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target}"${more} }
`);
  const ran = await world.run(['up']);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  return local;
}

/** A connection through the tunnel that has exchanged a byte. */
async function running(local: number): Promise<{ over: ReturnType<typeof outcomeOf> }> {
  const socket = connect(local, '127.0.0.1');
  const over = outcomeOf(socket);
  socket.write('a');
  await new Promise((resolve) => socket.once('data', resolve));
  return { over };
}

describe.skipIf(sshdMissing() !== null)('an outage', () => {
  test('by SIGKILL of the session process resets running connections and is over by itself', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await upWorld(world, sshd, target.port);
    const { over } = await running(local);
    sshd.signalSessions('SIGKILL');
    expect(await over).toEqual({ text: 'A', error: 'ECONNRESET' });
    expect(await request(local, 'back', { halfClose: false })).toEqual({ text: 'BACK', error: null });
    const after = await world.until('db', (tunnel) => tunnel.state === 'up');
    expect(after).toMatchObject({ reconnects: 1, error: null, lastError: { code: 'LINK_LOST' } });
    expect(after.forwards[0]).toMatchObject({ total: 2, failed: 1 });
  });

  test('by a stopped sshd holds clients and serves them when it is back', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await upWorld(world, sshd, target.port);
    const { over } = await running(local);
    await sshd.stop();
    expect((await over).error).toBe('ECONNRESET');
    const held = Promise.all(
      Array.from({ length: 5 }, (_, index) => request(local, `held ${index}`, { halfClose: false })),
    );
    const away = await world.until('db', (tunnel) => tunnel.forwards[0]?.held === 5);
    expect(['retrying', 'connecting']).toContain(away.state);
    // A link that lived less than 5 s waits first, and says meanwhile how it was lost.
    const retrying = await world.until(
      'db',
      ({ state, error }) => state === 'retrying' && error?.code === 'UNREACHABLE',
    );
    expect(retrying.retryAt).toMatch(/Z$/);
    expect(retrying.forwards[0]).toMatchObject({ bound: true });
    await sshd.start();
    const outcomes = await held;
    outcomes.forEach((outcome, index) => expect(outcome).toEqual({ text: `HELD ${index}`, error: null }));
    expect((await world.tunnel('db')).state).toBe('up');
  });

  test('by a frozen sshd is noticed by silence', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await upWorld(world, sshd, target.port);
    const { over } = await running(local);
    const frozen = sshd.signalSessions('SIGSTOP');
    expect((await over).error).toBe('ECONNRESET');
    expect(await request(local, 'new session', { halfClose: false })).toEqual({
      text: 'NEW SESSION',
      error: null,
    });
    const after = await world.tunnel('db');
    expect(after.lastError?.message).toMatch(/no byte from box \(127\.0\.0\.1/);
    // a second session was there before the first was given up
    expect(after).toMatchObject({ state: 'up', reconnects: 0, error: null, forwards: [{ failed: 1 }] });
    sendSignal(frozen, 'SIGKILL');
  });

  test('counts a held client that leaves, and delivers nothing of it', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await upWorld(world, sshd, target.port);
    await sshd.stop();
    const leaver = connect(local, '127.0.0.1');
    leaver.write('must never arrive');
    leaver.on('error', () => undefined);
    await world.until('db', (tunnel) => tunnel.forwards[0]?.held === 1);
    leaver.end();
    await world.until('db', (tunnel) => tunnel.forwards[0]?.held === 0 && tunnel.forwards[0].failed === 1);
    await sshd.start();
    expect(await request(local, 'served', { halfClose: false })).toEqual({ text: 'SERVED', error: null });
    expect(target.accepted()).toBe(1);
  });

  test('that outlives hold ends held connections with a reset', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await upWorld(world, sshd, target.port, ', hold: 1s');
    await sshd.stop();
    expect(await request(local, 'too late', { halfClose: false })).toMatchObject({
      text: '',
      error: 'ECONNRESET',
    });
    await sshd.start();
    await world.until('db', (tunnel) => tunnel.state === 'up');
    expect(await request(local, 'served', { halfClose: false })).toEqual({ text: 'SERVED', error: null });
    expect(target.accepted()).toBe(1);
  });

  test('of the target alone hurts one connection, and the tunnel stays up', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const closed = await freePort();
    const local = await upWorld(world, sshd, closed);
    expect(await request(local, 'x', { halfClose: false })).toMatchObject({ error: 'ECONNRESET' });
    const after = await world.until('db', (tunnel) => tunnel.forwards[0]?.failed === 1);
    expect(after.state).toBe('up');
    expect(after.forwards[0]?.error?.code).toBe('FORWARD_REFUSED');
  });
});
