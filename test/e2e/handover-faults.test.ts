// The replacement of a supervisor that goes wrong: the one that runs goes on as if nothing had been asked, and says why.
import { chmodSync, chownSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseHistory } from '../../src/model/history.ts';
import { bringUp, clientAt, exchange, onlyForward } from '../helpers/forwards-world.ts';
import {
  askAgainAndAgain,
  beforeSupervisor,
  otherVersion,
  runOf,
  supervisorOf,
  waitingVersion,
} from '../helpers/handover.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { outcomeOf, startTarget, uppercase, type Outcome } from '../helpers/targets.ts';
import { eventually } from '../helpers/ways-in.ts';
import { createWorld, isAlive, processEnd, type World } from '../helpers/world.ts';

const killedAt = (word: string): readonly [RegExp, string] => [
  new RegExp(`\\{kind:"${word}"`, 'g'),
  `{kind:(process.kill(process.pid,"SIGKILL"),"${word}")`,
];

/** What the history tells of a tunnel since the last start of a supervisor. */
function lastStates(world: World, tunnel: string): readonly string[] {
  const path = readdirSync(world.folder, { recursive: true, encoding: 'utf8' }).find((name) =>
    name.endsWith('history.jsonl'),
  );
  const lines = parseHistory(readFileSync(join(world.folder, path ?? ''), 'utf8'));
  return lines
    .slice(lines.findLastIndex(({ kind }) => kind === 'start'))
    .flatMap((line) => (line.kind === 'change' && line.tunnel === tunnel ? [line.to] : []));
}

const nobody = 'tunnels: { db: { host: nobody@127.0.0.1:9, local: auto, remote: 9, lazy: true } }';

describe.skipIf(sshdMissing() !== null)(
  'the old supervisor goes on and refuses nobody where the new one',
  () => {
    test.each([
      [
        'cannot be loaded',
        [beforeSupervisor('throw new Error("broken")')],
        /ended with code 1 before it served/,
      ],
      ['is killed when it has loaded everything', [killedAt('ready')], /ended by SIGKILL before it served/],
      ['is killed when it has lock, socket and listeners', [killedAt('serving')], /ended by SIGKILL/],
      [
        'says that it failed, and serves all the same',
        [[/\{kind:"serving"/g, '{kind:"failed",error:{message:"no reason",hint:null}']],
        /did not start: no reason/,
      ],
    ] as const)('%s', async (_what, changed, why) => {
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      await using world = createWorld();
      const path = join(world.folder, 'db.sock');
      await bringUp(
        world,
        sshd,
        `  tcp: { host: box, local: auto, remote: ${target.port} }
  unix: { host: box, local: ${path}, remote: ${target.port} }`,
      );
      const { pid } = await supervisorOf(world);
      const { listen } = onlyForward(await world.tunnel('tcp'));
      const asking = [listen, path].map((at) => askAgainAndAgain(at));
      await eventually(() => asking.every(({ asked }) => asked > 3));
      const broken = otherVersion('9.9.9', { changed });
      const ran = await runOf(broken, world, ['restart', '--supervisor']);
      expect(ran, ran.stderr).toMatchObject({ code: 4, stdout: '' });
      expect(ran.stderr).toMatch(why);
      expect(ran.stderr).toContain(`(pid ${pid}, version 0.1.0) goes on`);
      const before = asking.map(({ asked }) => asked);
      await eventually(() => asking.every(({ asked }, index) => asked > (before[index] ?? 0) + 3));
      for (const each of asking) expect(await each.stop()).toEqual(['X']);
      expect(await supervisorOf(world)).toEqual({ pid, version: '0.1.0' });
      await eventually(() => lastStates(world, 'tcp').at(-1) === 'up');
      expect(await world.run(['up'])).toMatchObject({ code: 0 });
      // Whole again: it lets itself be replaced.
      expect(await world.run(['restart', '--supervisor'])).toMatchObject({ code: 0 });
      await processEnd(pid);
      expect(await exchange(path, 'x')).toEqual({ text: 'X', error: null });
    });
    test('is not allowed: others may write it, or it belongs to somebody else', async () => {
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      await using world = createWorld();
      await bringUp(world, sshd, `  db: { host: box, local: auto, remote: ${target.port} }`);
      const { pid } = await supervisorOf(world);
      const other = otherVersion('9.9.9');
      chmodSync(other, 0o757);
      const ran = await runOf(other, world, ['restart', '--supervisor']);
      expect(ran).toMatchObject({ code: 4 });
      expect(ran.stderr).toContain(`${other} can be written by everybody\nhint: chmod go-w ${other}`);
      if (process.getuid?.() === 0) {
        chmodSync(other, 0o755);
        chownSync(other, 12_345, 12_345);
        const again = await runOf(other, world, ['restart', '--supervisor']);
        expect(again).toMatchObject({ code: 4 });
        expect(again.stderr).toContain(`${other} belongs to another user (uid 12345)`);
      }
      expect((await supervisorOf(world)).pid).toBe(pid);
    });

    test('finds a config that cannot be used', async () => {
      await using sshd = await startSshd();
      await using world = createWorld();
      await bringUp(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
      const { pid } = await supervisorOf(world);
      writeFileSync(join(world.folder, 'tunnels.yaml'), 'tunnels: [');
      const ran = await world.run(['restart', '--supervisor']);
      expect(ran).toMatchObject({ code: 4 });
      expect(ran.stderr).toMatch(
        /the new supervisor did not start: config failed.*; the one that runs \(pid \d+/,
      );
      expect((await supervisorOf(world)).pid).toBe(pid);
    });
  },
);

test('a supervisor in the foreground refuses, and says who replaces it', async () => {
  await using world = createWorld();
  world.config(nobody);
  const child = world.start(['up', '--foreground']);
  try {
    await world.until('db', ({ state }) => state === 'asleep');
    const ran = await world.run(['restart', '--supervisor']);
    expect(ran).toMatchObject({ code: 4 });
    expect(ran.stderr).toMatch(
      /was not replaced: it runs in the foreground, and whoever started it starts the next one/,
    );
    expect(ran.stderr).toContain(`kill ${child.pid}`);
  } finally {
    child.kill('SIGTERM');
    await processEnd(child.pid ?? 0);
  }
});

test.skipIf(sshdMissing() !== null)(
  'kill -9 of either supervisor after the replacement harms the other in nothing',
  async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const tunnel = `{ host: box, local: auto, remote: ${target.port} }`;
    await bringUp(world, sshd, `  db: ${tunnel}\n  other: ${tunnel}`);
    const old = await supervisorOf(world);
    const { listen } = onlyForward(await world.tunnel('db'));
    const hold = async (): Promise<{ readonly socket: Socket; readonly outcome: Promise<Outcome> }> => {
      const before = target.accepted();
      const socket = clientAt(listen);
      const outcome = outcomeOf(socket);
      socket.write('one ');
      await eventually(() => target.accepted() > before);
      return { socket, outcome };
    };
    const first = await hold();
    expect(await world.run(['restart', '--supervisor'])).toMatchObject({ code: 0 });
    const middle = await supervisorOf(world);
    process.kill(old.pid, 'SIGKILL');
    expect(await first.outcome).toMatchObject({ text: 'ONE ' }); // the kernel ended it

    expect(await exchange(listen, 'x')).toEqual({ text: 'X', error: null });
    expect(await world.run(['down', 'other'])).toMatchObject({ code: 0 }); // nobody waits for the old one's part of it

    const second = await hold();
    expect(await world.run(['restart', '--supervisor'])).toMatchObject({ code: 0 });
    const last = await supervisorOf(world);
    process.kill(last.pid, 'SIGKILL');
    await processEnd(last.pid);
    second.socket.end('two');
    expect(await second.outcome).toEqual({ text: 'ONE TWO', error: null });
    await processEnd(middle.pid);
    // It crashed: what was wanted comes back.
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
    expect(await exchange(listen, 'x')).toEqual({ text: 'X', error: null });
  },
);

test('a supervisor that is being replaced refuses to be replaced by yet another, and what is asked for meanwhile is up in the first one', async () => {
  await using world = createWorld();
  const server = 'host: nobody@127.0.0.1:9, local: auto, remote: 9, lazy: true';
  world.config(`tunnels: { db: { ${server} }, later: { ${server}, autostart: false } }`);
  expect(await world.run(['up'])).toMatchObject({ code: 0 });
  const waiting = waitingVersion('9.9.9');
  const first = runOf(waiting.program, world, ['restart', '--supervisor']);
  const pid = await waiting.started();
  const later = world.run(['up', 'later']);
  const second = await world.run(['restart', '--supervisor']);
  waiting.goOn();
  expect(second).toMatchObject({ code: 4 });
  expect(second.stderr).toMatch(
    /was not replaced: it is being replaced, or ends\nhint: tunnel (-c \S+ )?status/,
  );
  expect(await first).toMatchObject({ code: 0 });
  expect(await later).toMatchObject({ code: 0 });
  expect(await supervisorOf(world)).toEqual({ pid, version: '9.9.9' });
  expect((await world.status()).tunnels.map(({ name, state }) => [name, state])).toEqual([
    ['db', 'asleep'],
    ['later', 'asleep'],
  ]);
});

test('a supervisor is followed by none to which it hands over in a form that is not known there', async () => {
  await using world = createWorld();
  world.config(nobody);
  const newer = otherVersion('0.2.0', { changed: [[/format:1,version/g, 'format:2,version']] });
  expect(await runOf(newer, world, ['up'])).toMatchObject({ code: 0 });
  const { pid } = await supervisorOf(world);
  const ran = await world.run(['restart', '--supervisor']);
  expect(ran).toMatchObject({ code: 4 });
  expect(ran.stderr).toContain('version 0.2.0 hands over in a form that 0.1.0 does not know');
  expect((await supervisorOf(world)).pid).toBe(pid);
});

test.each([
  ['while it loads', false],
  ['while it waits for the word to go on', true],
])(
  'a new supervisor whose old one is killed %s ends, and up finds nothing in its way',
  async (_when, ready) => {
    await using world = createWorld();
    world.config(nobody);
    const old = otherVersion('0.2.0', ready ? { changed: [killedAt('go')] } : {});
    expect(await runOf(old, world, ['up'])).toMatchObject({ code: 0 });
    const before = (await supervisorOf(world)).pid;
    const waiting = waitingVersion('9.9.9');
    const asked = runOf(waiting.program, world, ['restart', '--supervisor']);
    const pid = await waiting.started();
    if (!ready) process.kill(before, 'SIGKILL');
    if (!ready) await processEnd(before);
    waiting.goOn();
    expect((await asked).code).not.toBe(0);
    await eventually(() => !isAlive(pid) && !isAlive(before));
    if (ready)
      expect((await world.run(['logs'])).stdout).toContain(
        'the supervisor that was to be replaced has ended',
      );
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
    expect((await supervisorOf(world)).version).toBe('0.1.0');
  },
);

test.skipIf(sshdMissing() !== null)(
  'an old supervisor gives back a port on a server, and ends, where the new one is killed before it has asked for it',
  async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    await bringUp(world, sshd, `  hooks: { host: box, type: remote, remote: 0, local: ${target.port} }`);
    const { pid } = await supervisorOf(world);
    const broken = otherVersion('9.9.9', { changed: [killedAt('leave')] });
    // it serves, and is killed; the command then brings the tunnels up in another one, or fails
    const { stderr } = await runOf(broken, world, ['restart', '--supervisor']);
    expect(stderr).toMatch(/supervisor 9\.9\.9 \(pid \d+\) goes on/);
    await eventually(() => !isAlive(pid));
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
    const { listen } = onlyForward(await world.tunnel('hooks'));
    expect(await exchange(listen, 'x')).toEqual({ text: 'X', error: null });
  },
);
