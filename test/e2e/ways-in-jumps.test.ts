// Jump hosts through the built program: three hops deep, trusted one by one, shared, lost and back; and alternative ways.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { eventually, keyFor, logins, requests, startOpenDoor, type OpenDoor } from '../helpers/ways-in.ts';
import { createWorld, type World } from '../helpers/world.ts';

const missing = sshdMissing() ?? (process.getuid?.() === 0 ? null : 'only root lets other users in');

/** An entry of `hosts:`, with a fresh key for that user. */
function hostOf(name: string, door: OpenDoor, user: string, more = '', args?: readonly string[]): string {
  const key = keyFor(door, user, args);
  return `  ${name}: { hostname: 127.0.0.1, port: ${door.port}, user: ${user}, identity: [${key}], agent: false${more} }\n`;
}

const storeOf = (world: World): string => readFileSync(join(world.folder, 'known_hosts'), 'utf8');

async function trustLines(world: World, doors: readonly Sshd[]): Promise<void> {
  const trust = await world.run(['trust', '--yes']);
  expect(trust, trust.stderr).toMatchObject({ code: 0 });
  for (const door of doors) expect(trust.stdout).toContain(door.fingerprint());
}

describe.skipIf(missing !== null)('jump hosts', () => {
  test('three deep, another user and key on each, are trusted one by one and carry the traffic', async () => {
    await using outer = await startOpenDoor();
    await using middle = await startOpenDoor({ hostKeyTypes: ['ecdsa'] });
    await using inner = await startOpenDoor({ hostKeyTypes: ['rsa'] });
    await using box = await startOpenDoor();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    world.config(`hosts:
${hostOf('outer', outer, 'daemon')}${hostOf('middle', middle, 'nobody', '', ['-t', 'ecdsa'])}${hostOf('inner', inner, 'bin', '', ['-t', 'rsa'])}${hostOf('box', box, 'root', ', jump: [outer, middle, inner]')}
tunnels:
  deep: { host: box, local: ${local}, remote: "127.0.0.1:${target.port}" }
`);
    const doors = [outer, middle, inner, box];
    const cold = await world.run(['up']);
    expect(cold, cold.stderr).toMatchObject({ code: 7 });
    expect(cold.stderr).toContain(outer.fingerprint());
    expect(doors.map((door) => requests(door))).toEqual([0, 0, 0, 0]);

    await trustLines(world, doors);
    for (const door of doors) expect(storeOf(world)).toContain(`[127.0.0.1]:${door.port} `);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(await request(local, 'this is a test')).toEqual({ text: 'THIS IS A TEST', error: null });
    expect(await world.tunnel('deep')).toMatchObject({
      state: 'up',
      via: ['outer', 'middle', 'inner'],
      endpoint: `root@127.0.0.1:${box.port}`,
    });
    expect([logins(outer, 'daemon'), logins(middle, 'nobody'), logins(inner, 'bin')].map(Boolean)).toEqual([
      true,
      true,
      true,
    ]);
    expect(logins(box)).toBe(1);
  });

  test('on another port of the very machine is one, and each port has its own key', async () => {
    await using outer = await startOpenDoor();
    await using box = await startOpenDoor({ hostKeyTypes: ['ecdsa'] });
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    const [there, here] = [outer, box].map(({ port }) => `127.0.0.1:${port}`);
    world.config(`defaults: { agent: false, identity: [${keyFor(outer, 'root')}, ${keyFor(box, 'root')}] }
tunnels:
  near: { host: root@${here}, jump: root@${there}, local: ${local}, remote: "127.0.0.1:${target.port}" }
`);
    await trustLines(world, [outer, box]);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(await request(local, 'this is a test')).toEqual({ text: 'THIS IS A TEST', error: null });
    expect([logins(outer), logins(box)]).toEqual([2, 1]); // `trust` went through the first to ask the second
  });

  test('whose middle hop shows another key than the trusted one is exit 7 and goes no further', async () => {
    await using outer = await startOpenDoor();
    await using middle = await startOpenDoor();
    await using box = await startOpenDoor();
    await using world = createWorld();
    world.config(`hosts:
${hostOf('outer', outer, 'daemon')}${hostOf('middle', middle, 'nobody')}${hostOf('box', box, 'root', ', jump: [outer, middle]')}
tunnels:
  deep: { host: box, local: auto, remote: "127.0.0.1:9" }
`);
    await trustLines(world, [outer, middle, box]);
    await middle.stop();
    middle.changeHostKey();
    await middle.start();
    const before = [requests(middle), requests(box)];
    const up = await world.run(['up', '--accept-new']);
    expect(up, up.stderr).toMatchObject({ code: 7 });
    expect(up.stderr).toContain(middle.fingerprint());
    expect([requests(middle), requests(box)]).toEqual(before);
    const replace = await world.run(['trust', '--yes', '--replace']);
    expect(replace, replace.stderr).toMatchObject({ code: 0 });
    await world.until('deep', ({ state }) => state === 'up');
  });

  test('are shared: one login on the bastion for many servers, and it all comes back when that is killed', async () => {
    await using bastion = await startOpenDoor();
    await using first = await startOpenDoor();
    await using second = await startOpenDoor();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [one, two, three] = [await freePort(), await freePort(), await freePort()];
    world.config(`defaults: { host_keys: accept-new }
hosts:
${hostOf('bastion', bastion, 'daemon')}${hostOf('first', first, 'root', ', jump: [bastion]')}${hostOf('second', second, 'nobody', ', jump: [bastion]')}
tunnels:
  one: { host: first, local: ${one}, remote: "127.0.0.1:${target.port}" }
  two: { host: second, local: ${two}, remote: "127.0.0.1:${target.port}" }
  three: { host: bastion, local: ${three}, remote: "127.0.0.1:${target.port}" }
`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect([logins(bastion), logins(first), logins(second)]).toEqual([1, 1, 1]);

    bastion.signalSessions('SIGKILL');
    for (const name of ['one', 'two', 'three'])
      await world.until(name, ({ state, reconnects }) => state === 'up' && reconnects === 1);
    for (const local of [one, two, three])
      expect(await request(local, 'again')).toEqual({ text: 'AGAIN', error: null });
    expect([logins(bastion), logins(first), logins(second)]).toEqual([2, 2, 2]);

    // the last user of the bastion's link ends it
    expect((await world.run(['down', 'one', 'three'])).code).toBe(0);
    expect(await request(two, 'still')).toEqual({ text: 'STILL', error: null });
    expect((await world.run(['down', 'two'])).code).toBe(0);
    await eventually(() => bastion.sessionPids().length === 0);
  });

  test('that are down are retried, and what the tunnel says is the bastion’s trouble', async () => {
    await using bastion = await startOpenDoor();
    await using box = await startOpenDoor();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    world.config(`defaults: { host_keys: accept-new }
hosts:
${hostOf('bastion', bastion, 'daemon')}${hostOf('box', box, 'root', ', jump: [bastion]')}
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target.port}" }
`);
    expect((await world.run(['up'])).code).toBe(0);
    await bastion.stop();
    const away = await world.until('db', ({ state, error }) => state === 'retrying' && error !== null);
    const refused = await world.until('db', ({ error }) => error?.code === 'UNREACHABLE');
    expect(away.forwards[0]?.bound).toBe(true);
    expect(refused.error?.message).toContain(`127.0.0.1:${bastion.port}`);
    const held = request(local, 'held', { halfClose: false });
    await world.until('db', ({ forwards }) => forwards[0]?.held === 1);
    await bastion.start();
    expect(await held).toEqual({ text: 'HELD', error: null });
  });
});

describe.skipIf(missing !== null)('ways', () => {
  test('are tried in order, and the one that worked is kept', async () => {
    await using first = await startOpenDoor();
    await using second = await startOpenDoor();
    await using box = await startOpenDoor();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    world.config(`defaults: { host_keys: accept-new }
hosts:
${hostOf('a', first, 'daemon')}${hostOf('b', second, 'nobody')}${hostOf('box', box, 'root')}
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target.port}", ways: [a, b, direct] }
`);
    expect((await world.run(['up'])).code).toBe(0);
    expect(await world.tunnel('db')).toMatchObject({ via: ['a'] });
    expect(logins(second)).toBe(0);

    await first.stop();
    await world.until('db', ({ state, via }) => state === 'up' && via[0] === 'b');
    await first.start();
    // sticky: a loss with both there again goes by b
    second.signalSessions('SIGKILL');
    const back = await world.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 2);
    expect(back.via).toEqual(['b']);

    await first.stop();
    await second.stop();
    const direct = await world.until('db', ({ state, via }) => state === 'up' && via.length === 0);
    expect(direct.reconnects).toBe(3);
    expect(await request(local, 'direct')).toEqual({ text: 'DIRECT', error: null });
  });

  test('that all fail say so at the end, and the port stays', async () => {
    await using first = await startOpenDoor();
    await using box = await startOpenDoor();
    await using world = createWorld();
    world.config(`defaults: { host_keys: accept-new }
hosts:
${hostOf('a', first, 'daemon')}${hostOf('box', box, 'root')}
tunnels:
  db: { host: box, local: auto, remote: "127.0.0.1:9", ways: [a, direct] }
`);
    await first.stop();
    await box.stop();
    const up = await world.run(['up', '--timeout', '1s']);
    expect(up, up.stderr).toMatchObject({ code: 5 });
    await first.start();
    await box.start();
    await world.until('db', ({ state }) => state === 'up');
  });
});
