// Repeats in the log: the first is written, the others are counted and told of ever more seldom.
import { expect, test } from 'vitest';
import { CountedLog } from '../../src/daemon/log-repeats.ts';
import type { EngineLog } from '../../src/supervisor/engine.ts';
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts';

const minuteMs = 60_000;

function stage(): { log: CountedLog; clock: ManualClock; written: string[]; lines: Parameters<EngineLog>[] } {
  const clock = manualClock(new Date(2026, 10, 22, 20, 0).getTime());
  const lines: Parameters<EngineLog>[] = [];
  const written: string[] = [];
  const log = new CountedLog((...line) => {
    lines.push(line);
    written.push(`${line[0]} ${line[2]}`);
  }, clock);
  return { log, clock, written, lines };
}

test('a port that is taken for a quarter of an hour is four lines', () => {
  const { log, clock, written, lines } = stage();
  for (let tries = 0; tries < 180; tries += 1) {
    log.write('warn', 'listen.failed', 'port in use', { tunnel: 'db', hint: 'tunnel down dev' });
    clock.advance(5_000);
  }
  expect(written).toEqual([
    'warn port in use',
    'warn port in use (11 more times since 20:00)',
    'warn port in use (120 more times since 20:01)',
  ]);
  expect(lines.at(-1)?.[3]).toEqual({ tunnel: 'db', hint: 'tunnel down dev', repeats: 120 });
  log.flush();
  expect(written.at(-1)).toBe('warn port in use (48 more times since 20:11)');
  clock.advance(600 * minuteMs);
  expect([written.length, clock.armed()]).toEqual([4, 0]);
});

test('what is new of a link comes after what was counted of it, and of no other', () => {
  const { log, written } = stage();
  for (let tries = 0; tries < 3; tries += 1)
    for (const link of ['a#1', 'b#1']) log.write('warn', 'link.waiting', 'refused', { link });
  log.write('info', 'link.up', 'a#1 is up again', { link: 'a#1' });
  expect(written).toEqual([
    'warn refused',
    'warn refused',
    'warn refused (2 more times since 20:00)',
    'info a#1 is up again',
  ]);
});

test('how long something took makes no other line of it', () => {
  const { log, clock, written } = stage();
  for (const took of ['12s', '900ms', '2h', '1.5 s'])
    log.write('info', 'link.up', `a is up again after ${took}`, { link: 'a' });
  log.write('info', 'link.up', 'a is up at port 12', { link: 'a' });
  log.write('info', 'link.up', 'a is up at port 13', { link: 'a' });
  clock.advance(minuteMs);
  expect(written).toEqual([
    'info a is up again after 12s',
    'info a is up again after 12s (3 more times since 20:00)',
    'info a is up at port 12',
    'info a is up at port 13',
  ]);
});

test('another tunnel, another level and another state are lines of their own, and so is all that is for debugging', () => {
  const { log, written } = stage();
  for (const tunnel of ['db', 'web']) log.write('warn', 'x', 'busy', { tunnel });
  log.write('error', 'x', 'busy', { tunnel: 'db' });
  for (let times = 0; times < 2; times += 1) {
    log.write('debug', 'x', 'detail');
    log.write('info', 'tunnel.state', 'db is up', { tunnel: 'db' });
  }
  expect(written).toHaveLength(7);
});

test('one that is not said again is forgotten, and a thousand others push it out with its count', () => {
  const { log, clock, written } = stage();
  log.write('info', 'x', 'once');
  clock.advance(minuteMs);
  expect(clock.armed()).toBe(0);
  log.write('info', 'x', 'twice');
  log.write('info', 'x', 'twice');
  for (let number = 0; number < 1000; number += 1) log.write('info', 'x', `other ${number}`);
  expect(written.filter((line) => line.includes('twice'))).toEqual([
    'info twice',
    'info twice (once more since 20:01)',
  ]);
  expect(clock.armed()).toBe(1000);
});
