// The watch of the network: a machine that slept and interfaces that changed, told once each.
import { expect, test } from 'vitest';
import type { Clock } from '../../src/model/clock.ts';
import { watchNetwork } from '../../src/daemon/network-watch.ts';
import type { Interfaces } from '../../src/daemon/network-watch.ts';
import { FakeClock } from '../helpers/fake-clock.ts';

const lan: Interfaces = {
  lo: [{ address: '127.0.0.1', internal: true }],
  eth0: [{ address: '192.0.2.7', internal: false }],
};

test('the network watch tells of a wake, of an address that came or went, and of nothing else', async () => {
  const clock = new FakeClock();
  const told: string[] = [];
  let interfaces = lan;
  const stop = watchNetwork({ clock, interfaces: () => interfaces, changed: (reason) => told.push(reason) });
  await clock.advance(60_000);
  expect(told).toEqual([]);
  interfaces = { ...lan, tun0: [{ address: '10.8.0.2', internal: false }] };
  await clock.advance(2_000);
  interfaces = { ...interfaces, veth1: [{ address: 'fe80::1', internal: false }] };
  await clock.advance(2_000);
  interfaces = lan;
  await clock.advance(2_000);
  clock.setWall(3_600_000);
  await clock.advance(2_000);
  await clock.advance(60_000);
  expect(told).toEqual(['tun0 10.8.0.2 came up', 'tun0 10.8.0.2 went away', 'woke after 3600s']);
  stop();
  expect(clock.pending).toBe(0);
});

test.each([
  ['five seconds ahead is a wake', 5_000, ['woke after 5s']],
  ['less is not', 4_900, []],
  ['a step back is none, however long', -3_600_000, []],
])('of the wall clock beside the monotonic one, %s', async (_what, byMs, expected) => {
  const clock = new FakeClock();
  const told: string[] = [];
  watchNetwork({ clock, interfaces: () => lan, changed: (reason) => told.push(reason) });
  await clock.advance(1_000);
  clock.setWall(byMs);
  await clock.advance(60_000);
  expect(told).toEqual(expected);
});

test('a wake is seen too where the monotonic clock goes on in sleep', () => {
  let passedMs = 0;
  let due: () => void = () => {};
  const told: string[] = [];
  const clock: Clock = {
    now: () => 1e12 + passedMs,
    monotonic: () => passedMs,
    wallAt: (ms) => 1e12 + ms,
    schedule: (_ms, task) => ((due = task), () => {}),
  };
  const slept: number[] = [];
  const changed = (reason: string): void => void told.push(reason);
  watchNetwork({ clock, interfaces: () => lan, changed, slept: (fromMs) => slept.push(fromMs) });
  passedMs += 3_600_000;
  due();
  passedMs += 2_000;
  due();
  expect(told).toEqual(['woke after 3598s']);
  expect(slept).toEqual([1e12]);
});

test('the network watch goes on when the system cannot tell its interfaces, and misses no change for it', async () => {
  const clock = new FakeClock();
  const told: string[] = [];
  let interfaces: Interfaces | null = null;
  const ask = (): Interfaces => {
    if (interfaces === null) throw new Error('EMFILE: too many open files, uv_interface_addresses');
    return interfaces;
  };
  watchNetwork({ clock, interfaces: ask, changed: (reason) => told.push(reason) });
  await clock.advance(2_000);
  interfaces = lan;
  await clock.advance(2_000);
  interfaces = null;
  await clock.advance(2_000);
  interfaces = { ...lan, tun0: [{ address: '10.8.0.2', internal: false }] };
  await clock.advance(2_000);
  expect(told).toEqual(['tun0 10.8.0.2 came up']);
});
