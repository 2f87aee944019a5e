// A supervisor is replaced by one of another version while it works: nobody is refused, nothing is cut, nothing is asked again.
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { supervisorFlags } from '../../src/control/launch-pipe.ts';
import type { StatusDocument } from '../../src/model/status.ts';
import { boxConfig, bringUp, clientAt, exchange, onlyForward, portOf } from '../helpers/forwards-world.ts';
import { askAgainAndAgain, otherVersion, runOf, supervisorOf, waitingVersion } from '../helpers/handover.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd } from '../helpers/sshd.ts';
import { hashing, outcomeOf, request, startTarget, uppercase } from '../helpers/targets.ts';
import { openTerminal, tmuxMissing } from '../helpers/tmux.ts';
import { eventually } from '../helpers/ways-in.ts';
import { built, createWorld, finished, isAlive, processEnd, type World } from '../helpers/world.ts';

const listenOf = async (world: World, name: string): Promise<string> =>
  onlyForward(await world.tunnel(name)).listen;

/** What Node was told besides the program: all between its own name and the first word that is no option. */
function nodeOptionsOf(pid: number): readonly string[] {
  const [, ...words] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return words.slice(
    0,
    words.findIndex((word) => !word.startsWith('-')),
  );
}

describe.skipIf(sshdMissing() !== null)('tunnel restart --supervisor', () => {
  test('refuses nobody on TCP, both loopbacks and a unix socket, and a long connection ends clean with all its bytes', async () => {
    await using sshd = await startSshd();
    await using quick = await startTarget(uppercase);
    await using slow = await startTarget(hashing);
    await using world = createWorld();
    const path = join(world.folder, 'db.sock');
    await bringUp(
      world,
      sshd,
      `  tcp: { host: box, local: auto, remote: ${quick.port} }
  both: { host: box, local: "localhost:${await freePort()}", remote: ${quick.port} }
  unix: { host: box, local: ${path}, remote: ${quick.port} }
  strict: { host: box, local: auto, remote: ${quick.port}, hold: 0s }
  closed: { host: box, local: auto, remote: ${quick.port}, hold: refuse }
  long: { host: box, local: auto, remote: ${slow.port} }`,
    );
    const old = await supervisorOf(world);
    const names = ['tcp', 'both', 'unix', 'strict', 'closed', 'long'];
    const listens = await Promise.all(names.map((name) => listenOf(world, name)));
    const long = clientAt(listens[5] ?? '');
    const answer = outcomeOf(long);
    const bytes = Buffer.alloc(300_000, 'the first half');
    long.write(bytes);
    const asking = listens.slice(0, 5).map((at) => askAgainAndAgain(at));
    await eventually(() => slow.accepted() === 1 && asking.every(({ asked }) => asked > 3));

    const other = otherVersion('9.9.9');
    for (const command of ['status', 'doctor', 'up']) {
      const { stdout, stderr } = await runOf(other, world, [command]);
      expect(stdout + stderr).toMatch(/of version 0\.1\.0, this command of 9\.9\.9/);
      expect(stdout + stderr).toContain('tunnel restart --supervisor');
    }
    const ran = await runOf(other, world, ['restart', '--supervisor']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(ran.stderr).toMatch(/supervisor 9\.9\.9 \(pid \d+\) goes on with its listeners/);
    const before = asking.map(({ asked }) => asked);
    await eventually(() => asking.every(({ asked }, index) => asked > (before[index] ?? 0) + 3));
    for (const each of asking) expect(await each.stop()).toEqual(['X']);

    await world.until('long', () => true);
    const { supervisor, tunnels } = await world.status();
    expect(supervisor).toMatchObject({ version: '9.9.9', draining: { pid: old.pid, connections: 1 } });
    expect(supervisor.pid).not.toBe(old.pid);
    expect(tunnels.map(({ state, forwards }) => [state, forwards[0]?.listen])).toEqual(
      listens.map((listen) => ['up', listen]),
    );
    expect(isAlive(old.pid)).toBe(true);
    const rest = Buffer.alloc(300_000, 'the second half');
    long.end(rest);
    const whole = createHash('sha256').update(bytes).update(rest).digest('hex');
    expect(await answer).toEqual({ text: whole, error: null });
    await processEnd(old.pid);
    expect(lstatSync(path).isSocket()).toBe(true);
    expect(await exchange(path, 'still')).toEqual({ text: 'STILL', error: null });

    expect(await world.run(['down'])).toMatchObject({ code: 0 });
    expect(existsSync(path)).toBe(false);
  });

  test('twice in a row: a connection goes on through both, and down ends it with the supervisors that carried it', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const tunnel = `{ host: box, local: auto, remote: ${target.port} }`;
    await bringUp(world, sshd, `  db: ${tunnel}\n  other: ${tunnel}`);
    const listen = await listenOf(world, 'db');
    const long = clientAt(listen);
    const answer = outcomeOf(long);
    long.write('one ');
    await eventually(() => target.accepted() === 1);
    const pids = [(await supervisorOf(world)).pid];
    for (const version of ['2.0.0', '3.0.0']) {
      const ran = await runOf(otherVersion(version), world, ['restart', '--supervisor']);
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      expect((await supervisorOf(world)).version).toBe(version);
      pids.push((await supervisorOf(world)).pid);
    }
    expect(new Set(pids).size).toBe(3);
    expect(pids.map(nodeOptionsOf)).toEqual(pids.map(() => [...supervisorFlags])); // each was started as the first one
    const answered = new Promise((resolve) => long.once('data', resolve));
    long.write('two');
    await answered;
    expect(await exchange(listen, 'x')).toEqual({ text: 'X', error: null });
    expect(pids.map(isAlive)).toEqual([true, true, true]);

    expect(await world.run(['down', 'db'])).toMatchObject({ code: 0 });
    expect(await answer).toMatchObject({ error: 'ECONNRESET' });
    await eventually(() => !pids.slice(0, 2).some(isAlive));
    expect(await exchange(await listenOf(world, 'other'), 'x')).toEqual({ text: 'X', error: null });
    expect(await world.run(['down'])).toMatchObject({ code: 0 });
    await eventually(() => !pids.some(isAlive));
    expect(sshd.sessionPids()).toEqual([]);
  });

  test('a port on the server stays the same, its connections go on, and new ones come to the new supervisor', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    await bringUp(world, sshd, `  hooks: { host: box, type: remote, remote: 0, local: ${target.port} }`);
    const old = await supervisorOf(world);
    const listen = await listenOf(world, 'hooks');
    const long = clientAt(listen);
    const answer = outcomeOf(long);
    long.write('one ');
    await eventually(() => target.accepted() === 1);
    const ran = await runOf(otherVersion('9.9.9'), world, ['restart', '--supervisor']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const now = await world.until('hooks', (tunnel) => tunnel.state === 'up' && onlyForward(tunnel).bound);
    expect(onlyForward(now).listen).toBe(listen);
    expect(await request(portOf(listen), 'x')).toEqual({ text: 'X', error: null });
    long.end('two');
    expect(await answer).toEqual({ text: 'ONE TWO', error: null });
    await processEnd(old.pid);
    expect(await request(portOf(listen), 'y')).toEqual({ text: 'Y', error: null });
  });

  test.skipIf(tmuxMissing() !== null)(
    'what was typed and what env: gave is not asked for again, and stands in no argument, environment or file',
    async () => {
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      await using world = createWorld();
      const typed = makeKey(join(world.folder, 'typed'), ['-t', 'ed25519', '-a', '2'], 'correct horse');
      const given = makeKey(join(world.folder, 'given'), ['-t', 'ed25519', '-a', '2'], 'battery staple');
      for (const key of [typed, given])
        writeFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`), { flag: 'a' });
      const box = `hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, agent: false, host_keys: accept-new`;
      world.config(`hosts:
  typed: { ${box}, identity: [${typed}] }
  given: { ${box}, identity: [${given}], passphrase: "env:GIVEN" }
tunnels:
  one: { host: typed, local: auto, remote: ${target.port} }
  two: { host: given, local: auto, remote: ${target.port} }
`);
      using terminal = openTerminal({ ...world.env, GIVEN: 'battery staple' });
      terminal.type(`${process.execPath} ${built} up; echo "exit=$?"`);
      terminal.key('Enter');
      await terminal.until(/Passphrase for/);
      terminal.type('correct horse');
      terminal.key('Enter');
      await terminal.until(/exit=0/);

      const ran = await runOf(otherVersion('9.9.9'), world, ['restart', '--supervisor']);
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      const { pid, version } = await supervisorOf(world);
      expect(version).toBe('9.9.9');
      for (const name of ['one', 'two'])
        expect(await exchange(await listenOf(world, name), 'x')).toEqual({ text: 'X', error: null });
      sshd.signalSessions('SIGKILL');
      for (const name of ['one', 'two'])
        await world.until(name, ({ state, reconnects }) => state === 'up' && reconnects === 1);
      const files = readdirSync(world.folder, { recursive: true, encoding: 'utf8' })
        .map((name) => join(world.folder, name))
        .filter((path) => lstatSync(path).isFile());
      const places = [...files, ...['environ', 'cmdline'].map((name) => `/proc/${pid}/${name}`)];
      const telling = places.filter((path) =>
        /correct horse|battery staple/.test(readFileSync(path, 'latin1')),
      );
      expect(telling).toEqual([]);

      const other = otherVersion('10.0.0', { protocol: 2 });
      const refused = await runOf(other, world, ['up']);
      expect(refused).toMatchObject({ code: 4 });
      expect(refused.stderr).toMatch(/may need what a person types[^]*hint: tunnel restart --supervisor/);
      expect((await supervisorOf(world)).pid).toBe(pid);
    },
  );

  test('what is up for exec alone stays for its command and what runs through it, goes with it, and is not held for one that has gone', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const tunnel = `{ host: box, local: auto, remote: ${target.port} }`;
    world.config(boxConfig(sshd, `  db: ${tunnel}\n  other: ${tunnel}\n  kept: ${tunnel}`));
    expect(await world.run(['up', 'kept'])).toMatchObject({ code: 0 });
    const end = join(world.folder, 'end');
    const script = `
const { existsSync } = process.getBuiltinModule('node:fs');
const socket = process.getBuiltinModule('node:net').connect({
  host: process.env.DB_HOST, port: Number(process.env.DB_PORT), allowHalfOpen: true,
});
socket.write('one ');
socket.pipe(process.stdout);
const looking = setInterval(() => existsSync(${JSON.stringify(end)}) && socket.end('two', () => clearInterval(looking)), 50);`;
    const command = world.start(['exec', 'db', '--', process.execPath, '-e', script]);
    const ran = finished(command);
    const wait = `until [ -e '${end}' ]; do sleep 0.1; done`;
    const gone = world.start(['exec', 'other', '--', 'sh', '-c', wait]);
    await world.until('other', ({ state }) => state === 'up');
    await eventually(() => target.accepted() === 1);

    const waiting = waitingVersion('9.9.9');
    const restart = runOf(waiting.program, world, ['restart', '--supervisor']);
    const pid = await waiting.started();
    gone.kill('SIGKILL');
    await processEnd(gone.pid ?? 0);
    waiting.goOn();
    const restarted = await restart;
    expect(restarted, restarted.stderr).toMatchObject({ code: 0 });
    expect(await supervisorOf(world)).toEqual({ pid, version: '9.9.9' });
    // so much later the other command would have come to take its tunnel again
    await world.until('other', ({ state }) => state === 'down');
    expect(await exchange(await listenOf(world, 'db'), 'x')).toEqual({ text: 'X', error: null });

    writeFileSync(end, '');
    expect(await ran).toMatchObject({ code: 0, stdout: 'ONE TWO' });
    const states = (await world.status()).tunnels.map(({ name, state }) => [name, state]);
    expect(Object.fromEntries(states)).toEqual({ db: 'down', other: 'down', kept: 'up' });
  });

  test('a tunnel that is not in the file any more goes on in one of the same version, and ends with its connections in another', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const db = `  db: { host: box, local: auto, remote: ${target.port} }`;
    await bringUp(
      world,
      sshd,
      `${db}
  gone: { host: box, local: auto, remote: ${target.port} }
  back: { host: box, type: remote, remote: 0, local: ${target.port} }`,
    );
    const listen = await listenOf(world, 'gone');
    world.config(boxConfig(sshd, db));
    expect(await world.run(['restart', '--supervisor'])).toMatchObject({ code: 0 });
    expect(await exchange(listen, 'x')).toEqual({ text: 'X', error: null });
    const { pid } = await supervisorOf(world);
    const accepted = target.accepted();
    const long = clientAt(listen);
    const answer = outcomeOf(long);
    long.write('one ');
    await eventually(() => target.accepted() > accepted);

    const ran = await runOf(otherVersion('9.9.9'), world, ['restart', '--supervisor']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    await expect.poll(async () => (await exchange(listen, 'x')).error).toBe('ECONNREFUSED');
    expect((await world.status()).tunnels.map(({ name, state }) => [name, state])).toEqual([['db', 'up']]);
    long.end('two');
    expect(await answer).toEqual({ text: 'ONE TWO', error: null });
    await eventually(() => !isAlive(pid)); // and its port on the server is no reason to stay
  });

  test('up replaces a supervisor of another protocol by itself, but no newer one', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const other = otherVersion('9.9.9', { protocol: 2 });
    await using world = createWorld();
    await bringUp(world, sshd, `  db: { host: box, local: auto, remote: ${target.port} }`);
    const old = await supervisorOf(world);
    const listen = await listenOf(world, 'db');
    const asking = askAgainAndAgain(listen);
    await eventually(() => asking.asked > 3);
    const older = await runOf(otherVersion('0.0.9', { protocol: 0 }), world, ['up', 'db']);
    expect(older).toMatchObject({ code: 4 });
    expect(older.stderr).toMatch(/was not replaced: it is the newer one\nhint: tunnel restart --supervisor/);
    expect(await runOf(other, world, ['status'])).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('hint: tunnel restart --supervisor') as string,
    });
    const ran = await runOf(other, world, ['up', 'db']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(ran.stderr).toContain('the supervisor spoke another protocol; supervisor 9.9.9');
    expect(await asking.stop()).toEqual(['X']);
    await processEnd(old.pid);
    const { supervisor, tunnels } = JSON.parse(
      (await runOf(other, world, ['status', '--json'])).stdout,
    ) as StatusDocument;
    expect(supervisor.version).toBe('9.9.9');
    expect(tunnels.map(({ state, forwards }) => [state, forwards[0]?.listen])).toEqual([['up', listen]]);
    expect(await runOf(other, world, ['down'])).toMatchObject({ code: 0 });
    await processEnd(supervisor.pid ?? 0);
  });
});
