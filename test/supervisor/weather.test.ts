// Weather: a clock that jumped and interfaces that changed, told once each.
import { expect, test } from 'vitest';
import type { Clock } from '../../src/model/clock.ts';
import { watchWeather } from '../../src/supervisor/weather.ts';
import type { Interfaces } from '../../src/supervisor/weather.ts';
import { FakeClock } from '../helpers/fake-clock.ts';

const lan: Interfaces = {
  lo: [{ address: '127.0.0.1', internal: true }],
  eth0: [{ address: '192.0.2.7', internal: false }],
};

test('weather tells of a wake, of an address that came or went, and of nothing else', async () => {
  const clock = new FakeClock();
  const told: string[] = [];
  let interfaces = lan;
  const stop = watchWeather({ clock, interfaces: () => interfaces, changed: (reason) => told.push(reason) });
  await clock.advance(60_000);
  expect(told).toEqual([]);
  interfaces = { ...lan, tun0: [{ address: '10.8.0.2', internal: false }] };
  await clock.advance(2_000);
  interfaces = { ...interfaces, veth1: [{ address: 'fe80::1', internal: false }] };
  await clock.advance(2_000);
  interfaces = lan;
  await clock.advance(2_000);
  clock.sleep(3_600_000);
  await clock.advance(2_000);
  await clock.advance(60_000);
  expect(told).toEqual(['tun0 10.8.0.2 came up', 'tun0 10.8.0.2 went away', 'woke after 3598s']);
  stop();
  expect(clock.pending).toBe(0);
});

test('weather tells of a clock that was set back', () => {
  let now = 1e12;
  let due: () => void = () => {};
  const told: string[] = [];
  const clock: Clock = { now: () => now, schedule: (_ms, task) => ((due = task), () => {}) };
  watchWeather({ clock, interfaces: () => lan, changed: (reason) => told.push(reason) });
  now -= 3_600_000;
  due();
  now += 2_000;
  due();
  expect(told).toEqual(['the clock was set back']);
});
