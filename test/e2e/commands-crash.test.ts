// What commands say and do after a supervisor ended unexpectedly, and after one that was told to end.
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { createWorld, processEnd, type World } from '../helpers/world.ts';

/** Wanted is all that they ever are: nothing listens on port 1. */
const tunnels = `defaults: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }
tunnels:
  a: { tags: [first] }
  b: {}
  c: {}
`;

async function crashed(world: World, ...up: string[]): Promise<void> {
  await world.run(['up', ...up, '--timeout', '10ms']);
  const { pid } = (await world.status()).supervisor;
  process.kill(pid ?? 0, 'SIGKILL');
  await processEnd(pid ?? 0);
}

async function wantedNow(world: World): Promise<string[]> {
  return (await world.status()).tunnels.filter(({ wanted }) => wanted).map(({ name }) => name);
}

describe('after a crash', () => {
  test('status says what is still wanted, down gives it up, and up names what else it brings back', async () => {
    await using world = createWorld();
    world.config(tunnels);
    await crashed(world, 'a', 'b');
    const status = await world.run(['status']);
    expect(status).toMatchObject({ code: 0, stdout: expect.stringMatching(/^a +down /m) as string });
    expect(status.stderr).toContain('ended unexpectedly: a, b are still wanted');
    expect(status.stderr).toContain('hint: tunnel up');
    expect(await wantedNow(world)).toEqual(['a', 'b']);
    const one = await world.run(['down', 'tag:first']);
    expect(one).toMatchObject({ code: 0, stdout: '' });
    expect(one.stderr).toContain('ended unexpectedly; a will not be brought back');
    const up = await world.run(['up', 'c', '--timeout', '10ms']);
    expect(up.stderr).toContain('b is brought back too');
    expect(await wantedNow(world)).toEqual(['b', 'c']);
    const again = await world.run(['up', 'c', '--timeout', '10ms']);
    expect(again.stderr).not.toContain('brought back');
    await world.run(['down', 'b']);
    await world.run(['up', 'a', '--timeout', '10ms']);
    expect(await wantedNow(world)).toEqual(['a', 'c']); // b was brought back once
  });

  test('down takes back what is wanted of a file that has changed, is broken or is gone', async () => {
    await using world = createWorld();
    world.config(tunnels);
    await crashed(world, 'a', 'b', 'c');
    world.config(tunnels.replace('  a: { tags: [first] }\n', ''));
    expect(await world.run(['down', 'nobody'])).toMatchObject({ code: 2 });
    expect((await world.run(['down', 'a'])).stderr).toContain('a will not be brought back');
    world.config('tunnels: {');
    expect((await world.run(['down', '[b]', 'nobody'])).stderr).toContain('unexpectedly; b will not be');
    const all = await world.run(['down']);
    expect(all.stderr).toContain('unexpectedly; c will not be brought back');
    world.config(tunnels);
    const status = await world.run(['status']);
    expect(status.stderr).not.toContain('unexpectedly');
    expect((await world.run(['down'])).stderr).toBe('no supervisor is running: everything is down\n');
  });
});

test.each(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)(
  'what one in the background served is wanted by nobody once %s told it to end',
  async (signal) => {
    await using world = createWorld();
    world.config(tunnels);
    await world.run(['up', 'a', 'b', '--timeout', '10ms']);
    const { pid } = (await world.status()).supervisor;
    process.kill(pid ?? 0, signal);
    await processEnd(pid ?? 0);
    const status = await world.run(['status']);
    expect(status).toMatchObject({ code: 0, stdout: expect.stringMatching(/^a +down /m) as string });
    expect(status.stderr).not.toContain('unexpectedly');
    const up = await world.run(['up', 'c', '--timeout', '10ms']);
    expect(up.stderr).not.toContain('brought back');
    expect(await wantedNow(world)).toEqual(['c']);
  },
);

test('what one in the foreground served is wanted by nobody once it was told to end', async () => {
  await using world = createWorld();
  world.config(tunnels);
  const own = world.start(['up', '--foreground', 'a', 'b']);
  const ended = once(own, 'exit');
  await world.until('a', ({ wanted, state }) => wanted && state !== 'down');
  own.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(await wantedNow(world)).toEqual([]);
  const up = await world.run(['up', 'c', '--timeout', '10ms']);
  expect(up.stderr).not.toContain('brought back');
  expect(await wantedNow(world)).toEqual(['c']);
});
