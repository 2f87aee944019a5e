// The main job, from outside: a cold `tunnel up` against a real sshd, a request through the port, the truth in status, a clean `down`.
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, isAlive, type World } from '../helpers/world.ts';

const configFor = (sshd: Sshd, local: number | string, target: number, more = ''): string => `
hosts:
  box:
    hostname: 127.0.0.1
    port: ${sshd.port}
    user: ${sshd.user}
    identity: [${sshd.identity}]
    agent: false
tunnels:
  uppercase:
    host: box
    local: ${local}
    remote: 127.0.0.1:${target}
    tags: [demo]
${more}`;

async function trusted(world: World): Promise<void> {
  const ran = await world.run(['trust', '--yes', 'box']);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
}

describe.skipIf(sshdMissing() !== null)('the main job', () => {
  test('an upper-case service behind the server answers through the port, and status counts it truly', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    world.config(configFor(sshd, local, target.port));
    await trusted(world);

    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({
      code: 0,
      stdout: `uppercase  up  127.0.0.1:${local} → 127.0.0.1:${target.port} via box\n`,
    });
    expect(await request(local, 'this is a test')).toEqual({ text: 'THIS IS A TEST', error: null });

    const document = await world.status();
    expect(document).toMatchObject({
      version: 1,
      supervisor: { running: true, config: `${world.folder}/tunnels.yaml`, configError: null },
      tunnels: [
        {
          name: 'uppercase',
          state: 'up',
          tags: ['demo'],
          host: 'box',
          endpoint: `${sshd.user}@127.0.0.1:${sshd.port}`,
          via: [],
          orphan: false,
          reconnects: 0,
          attempt: 0,
          retryAt: null,
          error: null,
          lastError: null,
          question: null,
          forwards: [
            {
              name: null,
              type: 'local',
              listen: `127.0.0.1:${local}`,
              target: `127.0.0.1:${target.port}`,
              bound: true,
              exposed: false,
              open: 0,
              held: 0,
              total: 1,
              failed: 0,
              bytesIn: 14,
              bytesOut: 14,
              error: null,
            },
          ],
        },
      ],
    });
    expect(document.supervisor.pid).toBeTypeOf('number');
    expect(document.supervisor.since).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(document.tunnels[0]?.link).toBeTypeOf('string');

    const again = await world.run(['up']);
    expect(again.code).toBe(0);
    expect((await world.tunnel('uppercase')).forwards[0]?.total).toBe(1);

    const down = await world.run(['down']);
    expect(down, down.stderr).toMatchObject({ code: 0 });
    expect(
      await new Promise((resolve) =>
        connect(local, '127.0.0.1').once('error', resolve).once('connect', resolve),
      ),
    ).toMatchObject({
      code: 'ECONNREFUSED',
    });
    expect((await world.status()).supervisor).toMatchObject({
      running: false,
      pid: null,
      version: null,
      since: null,
    });
    expect((await world.run(['down'])).code).toBe(0);
  });

  test('100 concurrent clients and 2,000 short connections leave nothing behind, and the counters add up', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    world.config(configFor(sshd, 'auto', target.port));
    await trusted(world);
    expect((await world.run(['up'])).code).toBe(0);
    const local = Number((await world.tunnel('uppercase')).forwards[0]?.listen.split(':').at(-1));
    const pid = (await world.status()).supervisor.pid ?? 0;
    const { readdirSync } = await import('node:fs');
    await request(local, 'warm');
    const before = readdirSync(`/proc/${pid}/fd`).length;

    const together = await Promise.all(
      Array.from({ length: 100 }, (_, index) => request(local, `client ${index}`)),
    );
    together.forEach((outcome, index) => expect(outcome).toEqual({ text: `CLIENT ${index}`, error: null }));
    for (let batch = 0; batch < 100; batch += 1) {
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => request(local, 'short')));
      for (const outcome of outcomes) expect(outcome).toEqual({ text: 'SHORT', error: null });
    }
    const settled = await world.until('uppercase', (tunnel) => tunnel.forwards[0]?.open === 0);
    expect(settled.forwards[0]).toMatchObject({ open: 0, held: 0, total: 2101, failed: 0 });
    expect(settled.forwards[0]?.bytesIn).toBe(settled.forwards[0]?.bytesOut);
    expect(isAlive(pid)).toBe(true);
    expect(readdirSync(`/proc/${pid}/fd`).length).toBeLessThanOrEqual(before + 4);
    const logs = await world.run(['logs', '--json']);
    expect(logs.stdout).not.toMatch(/unhandled|uncaught/i);
  });

  test('several forwards of one tunnel ride on one connection', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using other = await startTarget((socket) => socket.end('other'));
    await using world = createWorld();
    world.config(
      configFor(
        sshd,
        'auto',
        target.port,
        `  stack:
    host: box
    forwards:
      - { name: up, local: auto, remote: "127.0.0.1:${target.port}" }
      - "L 0:127.0.0.1:${other.port}"
`.replace('"L 0:', `"L ${await freePort()}:`),
      ),
    );
    await trusted(world);
    expect((await world.run(['up'])).code).toBe(0);
    const stack = await world.tunnel('stack');
    const [first, second] = stack.forwards.map((forward) => Number(forward.listen.split(':').at(-1)));
    expect(await request(first ?? 0, 'x')).toEqual({ text: 'X', error: null });
    expect((await request(second ?? 0, '')).text).toBe('other');
    expect((await world.tunnel('uppercase')).link).toBe(stack.link);
    expect(sshd.log().match(/Accepted publickey/g)).toHaveLength(1);
  });
});
