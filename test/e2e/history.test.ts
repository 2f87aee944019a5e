// `tunnel history` from outside: what a supervisor wrote down, while it runs, after it was killed, and after it ended.
import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { HistoryDocument } from '../../src/model/history.ts';
import { createWorld, processEnd, type World } from '../helpers/world.ts';

async function historyOf(world: World, ...args: string[]): Promise<HistoryDocument> {
  const ran = await world.run(['history', '--json', ...args]);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(ran.stdout) as HistoryDocument;
}

const historyFile = (world: World): string => {
  const found = readdirSync(world.folder, { recursive: true, encoding: 'utf8' });
  return join(world.folder, found.find((name) => name.endsWith('history.jsonl')) ?? '');
};

test('history tells each change and its reason, and a kill -9 leaves it to be read', async () => {
  await using world = createWorld();
  world.config('defaults: { host: "me@127.0.0.1:1", local: auto, remote: 9 }\ntunnels: { a: {}, b: {} }\n');
  expect(await world.run(['history'])).toMatchObject({ code: 0, stdout: '' });
  await world.run(['up', '--timeout', '10ms']);
  const { supervisor } = await world.status();
  await world.until('a', ({ state }) => state === 'retrying');
  await expect
    .poll(async () => (await historyOf(world, 'a')).changes.map(({ to, code }) => [to, code]))
    .toEqual([
      ['connecting', null],
      ['retrying', 'UNREACHABLE'],
    ]);
  process.kill(supervisor.pid ?? 0, 'SIGKILL');
  await processEnd(supervisor.pid ?? 0);
  appendFileSync(historyFile(world), '{"kind":"change","atMs":17');
  const after = await historyOf(world);
  expect(after.changes.at(-1)).toMatchObject({ from: 'retrying', to: 'down', code: 'DAEMON_DOWN' });
  expect(after.changes.slice(0, -2).every(({ lastedMs }) => lastedMs !== null)).toBe(true);
  expect(after.summary).toMatchObject([
    { tunnel: 'a', upPercent: 0, outages: 1 },
    { tunnel: 'b', upPercent: 0, outages: 1 },
  ]);
  const shown = await world.run(['history', 'a']);
  expect(shown.stdout).toMatch(/^TIME +TUNNEL +FROM +TO +LASTED +REASON\n/);
  expect(shown.stdout).toMatch(/^\S+ +a +connecting +retrying +\d+s +connect failed.*127\.0\.0\.1:1/m);
  expect(shown.stdout).toMatch(/\n\nTUNNEL +UP +OUTAGES +LONGEST\na +0% +1 +\d+s\n$/);
  expect(await world.run(['history', 'nope'])).toMatchObject({ code: 2, stdout: '' });
  expect(await world.run(['history', '--since', '91d'])).toMatchObject({ code: 2 });
  expect((await historyOf(world, '--since', '90d')).changes).toEqual(after.changes);
});
