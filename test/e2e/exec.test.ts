// `tunnel exec` from outside: a real command behind a real sshd, its exit code, its signals, and what is up behind it.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { boxConfig, bringUp, onlyForward, portOf } from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { openTerminal, tmuxMissing } from '../helpers/tmux.ts';
import { built, createWorld, finished, processEnd, type World } from '../helpers/world.ts';

const withSshd = test.skipIf(sshdMissing() !== null);
const stateOf = async (world: World, name: string): Promise<string> => (await world.tunnel(name)).state;

/** A program that says when it runs, and goes on until its standard input ends or a signal comes. */
const waits = ['sh', '-c', 'echo ready; cat >/dev/null; echo over'];

/** Starts `tunnel exec ARGS` with pipes for all three streams; resolves once its command runs. */
async function begin(world: World, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [built, 'exec', ...args], { env: world.env, cwd: world.folder });
  await once(child.stdout, 'data');
  return child;
}

function end(child: ChildProcess): Promise<{ readonly code: number | null }> {
  const ran = finished(child);
  child.stdin?.end();
  return ran;
}

function configure(world: World, sshd: Sshd, tunnels: string): void {
  world.config(boxConfig(sshd, tunnels));
}

withSshd(
  'a command reaches the target by its variables, with its own streams, and nothing is up behind it',
  async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    configure(
      world,
      sshd,
      `  db: { host: box, local: auto, remote: ${target.port}, env: { AT: "{address}" } }`,
    );
    const script =
      'const s=require("net").connect(process.env.DB_PORT,process.env.DB_HOST);process.stdin.pipe(s).pipe(process.stdout);s.on("close",()=>{console.error(process.env.AT===`127.0.0.1:${process.env.DB_PORT}`);process.exitCode=7})';
    const ran = await world.run(['exec', '-q', 'db', '--', process.execPath, '-e', script], {
      input: 'hello',
    });
    expect(ran).toMatchObject({ code: 7, stdout: 'HELLO', stderr: 'true\n' });
    expect(await stateOf(world, 'db')).toBe('down');
  },
);

withSshd('a tunnel that was up before stays, and one that `up` asks for meanwhile too', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  await bringUp(
    world,
    sshd,
    `  web: { host: box, local: auto, remote: 9 }
  db: { host: box, local: auto, remote: 9, autostart: false }`,
  );
  expect((await world.run(['exec', 'web', '--', 'true'])).code).toBe(0);
  expect(await stateOf(world, 'web')).toBe('up');
  const running = await begin(world, ['db', '--', ...waits]);
  expect((await world.run(['up', 'db'])).code).toBe(0);
  expect((await end(running)).code).toBe(0);
  expect(await stateOf(world, 'db')).toBe('up');
});

withSshd('of two commands the last one takes the tunnel down, also when it is killed', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  configure(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
  const one = await begin(world, ['db', '--', ...waits]);
  const two = await begin(world, ['db', '--', ...waits]);
  const before = await world.tunnel('db');
  expect((await end(one)).code).toBe(0);
  expect(await world.tunnel('db')).toMatchObject({ state: 'up', link: before.link });
  const gone = once(two, 'exit');
  two.kill('SIGKILL');
  await gone;
  await world.until('db', ({ state }) => state === 'down');
  two.stdin?.end();
});

withSshd('its end waits until the tunnel is down, also where the server is slow to confirm it', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  configure(world, sshd, '  back: { host: box, type: remote, remote: 0, local: 9 }');
  const running = await begin(world, ['back', '--', ...waits]);
  sshd.signalSessions('SIGSTOP'); // the server gets 2 s to confirm
  expect((await end(running)).code).toBe(0);
  expect(await stateOf(world, 'back')).toBe('down');
});

withSshd(
  'a crashed supervisor is replaced while the command runs, and forgets the tunnel with it',
  async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
    const running = await begin(world, ['db', '--', ...waits]);
    const { supervisor, tunnels } = await world.status();
    const [{ forwards } = { forwards: [] }] = tunnels;
    process.kill(supervisor.pid ?? 0, 'SIGKILL');
    await processEnd(supervisor.pid ?? 0);
    const again = await world.until('db', ({ state }) => state === 'up');
    expect(portOf(onlyForward(again).listen)).toBe(portOf(forwards[0]?.listen ?? ''));
    expect((await end(running)).code).toBe(0);
    expect(await world.tunnel('db')).toMatchObject({ state: 'down', wanted: false });
  },
);

withSshd('`down` meanwhile is obeyed: nothing brings the tunnel up again', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  configure(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
  const running = await begin(world, ['db', '--', ...waits]);
  const { supervisor } = await world.status();
  expect((await world.run(['down', 'db'])).code).toBe(0);
  await processEnd(supervisor.pid ?? 0);
  expect((await end(running)).code).toBe(0);
  expect((await world.status()).supervisor.running).toBe(false);
});

withSshd('signals reach the command, and how it ended is the exit code', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  configure(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
    ['SIGQUIT', 131],
    ['SIGUSR1', 138],
  ] as const) {
    const running = await begin(world, ['db', '--', 'sh', '-c', 'echo ready; exec cat']);
    running.kill(signal);
    expect(await finished(running)).toMatchObject({ code, signal: null });
  }
  const trap = `trap 'echo got; exit 3' TERM; echo ready; while :; do cat >/dev/null & wait; done`;
  const running = await begin(world, ['db', '--', 'sh', '-c', trap]);
  running.kill('SIGTERM');
  expect(await finished(running)).toMatchObject({ code: 3, stdout: 'got\n' });
});

withSshd(
  'a command that is not there is told before anything is brought up; one that cannot be run after',
  async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
    const absent = await world.run(['exec', 'db', '--', 'no-such-program', '-x']);
    expect(absent).toMatchObject({ code: 127, stdout: '' });
    expect(absent.stderr).toMatch(
      /^tunnel: start failed, on no-such-program: there is no such program\nhint: /,
    );
    expect((await world.status()).supervisor.running).toBe(false);
    const file = join(world.folder, 'plain');
    writeFileSync(file, 'x');
    chmodSync(file, 0o600);
    const refused = await world.run(['exec', 'db', '--', './plain']);
    expect(refused).toMatchObject({ code: 126, stdout: '' });
    expect(refused.stderr).toContain('start failed, on ./plain: it may not be run\nhint: ls -ld ./plain\n');
    expect(await world.run(['exec', 'db', '--', './absent'])).toMatchObject({ code: 127 });
    const line = await world.run(['exec', 'db', '--', 'echo a b']);
    expect(line).toMatchObject({ code: 127 });
    expect(line.stderr).toContain("hint: tunnel exec … -- sh -c 'echo a b'\n");
  },
);

withSshd(
  'off a terminal it asks nothing: the code is of the cause, the command is not run, nothing stays wanted',
  async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const taken = await startTarget(uppercase);
    await using held = taken;
    const unknown = boxConfig(sshd, '  db: { host: box, local: auto, remote: 9 }').replace(
      'accept-new',
      'ask',
    );
    world.config(
      `${unknown}  away: { host: "me@127.0.0.1:1", local: auto, remote: 9 }
  busy: { host: box, host_keys: accept-new, local: ${held.port}, remote: 9 }
  silent: { host: box, host_keys: accept-new, local: auto, remote: ${await freePort()}, probe: tcp }
`,
    );
    const cases = { db: 7, 'away --timeout 1s': 5, busy: 8, 'silent --timeout 1s': 9 };
    for (const [words, code] of Object.entries(cases)) {
      const ran = await world.run(['exec', ...words.split(' '), '--', 'echo', 'ran']);
      expect(ran, words).toMatchObject({ code, stdout: '' });
      expect(ran.stderr, words).toMatch(/^tunnel: .*\nhint: [^]*echo was not run$/m);
    }
    expect((await world.status()).tunnels.filter(({ wanted }) => wanted)).toEqual([]);
  },
);

withSshd('a secret of env: comes from its own environment', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  await bringUp(
    world,
    sshd,
    `  web: { host: box, local: auto, remote: 9 }
  proxy: { host: box, type: dynamic, local: auto, autostart: false, socks_auth: { user: u, password: "env:PROXY_WORD" } }`,
  );
  const curl = 'exec 3<>/dev/tcp/$PROXY_HOST/$PROXY_PORT; printf "\\5\\1\\2" >&3; head -c2 <&3 | od -An -tx1';
  const auth = `${curl}; printf "\\1\\1u\\4word" >&3; head -c2 <&3 | od -An -tx1`;
  const ran = await world.run(['exec', 'proxy', '--', 'bash', '-c', auth], { env: { PROXY_WORD: 'word' } });
  expect(ran).toMatchObject({ code: 0, stdout: ' 05 02\n 01 00\n' });
});

withSshd('a reader that is slow gets every byte of the command', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  configure(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
  const line = '"$NODE" "$TUNNEL" exec -q db -- head -c 3000000 /dev/zero | (sleep 0.3; wc -c)';
  const env = { ...world.env, NODE: process.execPath, TUNNEL: built };
  const ran = await finished(spawn('sh', ['-c', line], { env, cwd: world.folder }));
  expect(ran).toMatchObject({ code: 0, stdout: '3000000\n', stderr: '' });
});

test('what is no command line of it is told with the one that is', async () => {
  await using world = createWorld();
  world.config('tunnels: { db: { host: "me@127.0.0.1:1", local: 5, remote: 9 } }\n');
  const without = await world.run(['exec', 'db', 'psql', 'a b']);
  expect(without).toMatchObject({ code: 2, stdout: '' });
  expect(without.stderr).toContain("hint: tunnel exec db -- psql 'a b'\n");
  expect(await world.run(['exec', '--', 'psql'])).toMatchObject({ code: 2 });
  expect(await world.run(['exec', 'db', '--'])).toMatchObject({ code: 2 });
  expect(await world.run(['exec', 'nope', '--', 'true'])).toMatchObject({ code: 2 });
});

test.skipIf(sshdMissing() !== null || tmuxMissing() !== null)(
  'on a terminal the question comes first, then the terminal is the command’s: its lines, and each Ctrl-C once',
  async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    world.config(boxConfig(sshd, '  db: { host: box, local: auto, remote: 9 }').replace('accept-new', 'ask'));
    // A shell would take two signals that come at once for one.
    const script = `process.on('SIGINT', () => console.log('INT'));
let lines = 0;
require('node:readline').createInterface({ input: process.stdin, terminal: false }).on('line', (line) => {
  if ((lines += 1) === 2) process.exit(console.log('end'));
  console.log('line=' + line);
});`;
    writeFileSync(join(world.folder, 'script.cjs'), script);
    const command = `${process.execPath} ${world.folder}/script.cjs`;
    terminal.type(`${process.execPath} ${built} exec db -- ${command}; echo "exit=$?"`);
    terminal.key('Enter');
    await terminal.until(/Trust it\?/);
    terminal.type('yes');
    terminal.key('Enter');
    await terminal.until(/known_hosts:1/);
    terminal.type('hello');
    terminal.key('Enter');
    await terminal.until(/line=hello/);
    const heard = (): number => terminal.screen().match(/^(\^C)?INT$/gm)?.length ?? 0;
    for (let times = 1; times <= 5; times += 1) {
      terminal.key('C-c');
      await vi.waitUntil(() => heard() >= times, { timeout: 20_000 });
    }
    terminal.key('Enter');
    await terminal.until(/end\n(.*\n)*exit=0/);
    expect(heard()).toBe(5);
    expect(await stateOf(world, 'db')).toBe('down');
  },
);
