// Commands and proxies through the built program: what they are given, what they say, and that nothing of them is left.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startProxy } from '../helpers/proxy.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { connections, eventually } from '../helpers/ways-in.ts';
import { createWorld, finished, type World } from '../helpers/world.ts';

const available = (program: string): boolean => {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

function configure(world: World, sshd: Sshd, local: number, target: number, way: string): void {
  world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new, ${way} }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target}" }
`);
}

const commandLine = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
};

/** Processes whose command line has the words in it. */
function pidsOf(words: string): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return all.map(Number).filter((pid) => {
    const line = commandLine(pid);
    return line.includes(words) && !line.includes('vitest');
  });
}

const running = (words: string): string[] => pidsOf(words).map(commandLine);

describe.skipIf(sshdMissing() !== null)('a proxy command', () => {
  test.each([
    ['nc', 'nc %h %p'],
    ['socat', 'socat - TCP:%h:%p'],
  ])('through %s carries traffic, comes back, and is gone after down', async (program, command) => {
    if (!available(program)) return;
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    // OpenBSD's nc keeps its output open when the server is gone, and leaves at our second ping
    const quick = 'keepalive: { interval: 500ms, count: 3 }';
    configure(world, sshd, local, target.port, `${quick}, proxy_command: "${command}"`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(await request(local, 'through')).toEqual({ text: 'THROUGH', error: null });
    const own = (): string[] =>
      running(String(sshd.port)).filter((line) => line.startsWith(program) && !line.includes('sshd'));
    expect(own()).toHaveLength(1);

    sshd.signalSessions('SIGKILL');
    await world.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    expect(await request(local, 'again')).toEqual({ text: 'AGAIN', error: null });
    await eventually(() => own().length === 1);
    expect((await world.run(['down'])).code).toBe(0);
    await eventually(() => own().length === 0);
  });

  test('gets its tokens, its own words are in the log, and what it started ends with it', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const script = join(world.folder, 'way.sh');
    const told = join(world.folder, 'told');
    writeFileSync(
      script,
      `#!/bin/sh
echo "$@" > ${told}
echo "knocking at the gate" >&2
sleep 7654321 &
nc "$1" "$2"
`,
      { mode: 0o755 },
    );
    configure(world, sshd, await freePort(), target.port, `proxy_command: "${script} %h %p %r %n 100%%"`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(readFileSync(told, 'utf8')).toBe(`127.0.0.1 ${sshd.port} ${sshd.user} box 100%\n`);
    expect((await world.run(['logs', 'db'])).stdout).toContain('knocking at the gate');
    expect(running('sleep 7654321')).toHaveLength(1);
    expect((await world.run(['down'])).code).toBe(0);
    await eventually(() => running('sleep 7654321').length === 0 && running(script).length === 0);
  });

  test('whose output ends with the server ends the link, though the command stays', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const script = join(world.folder, 'way.sh');
    writeFileSync(
      script,
      `#!/bin/sh
exec 3<&0
nc -N "$1" "$2" <&3 &
exec >&- 3<&-
sleep 6543210
`,
      { mode: 0o755 },
    );
    const slow = 'keepalive: { interval: 10m, count: 3 }';
    configure(world, sshd, await freePort(), target.port, `${slow}, proxy_command: "${script} %h %p"`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    // what ends nc itself
    for (const pid of pidsOf(`nc -N 127.0.0.1 ${sshd.port}`)) process.kill(pid, 'SIGKILL');
    await world.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    await eventually(() => running('sleep 6543210').length === 1);
    expect((await world.run(['down'])).code).toBe(0);
    await eventually(() => running('sleep 6543210').length === 0);
  });

  test('that waits for a person is shown to whoever waits, now or later, and is not started a second time', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [starts, person, script] = ['starts', 'person', 'way.sh'].map((name) => join(world.folder, name));
    const address = `https://login.example.org/device?${'state=0123456789&'.repeat(12)}`;
    writeFileSync(
      script ?? '',
      `#!/bin/sh
echo started >> ${starts}
printf 'please open\\n${address}\\n' >&2
until [ -e ${person} ]; do sleep 0.05; done
exec nc "$1" "$2"
`,
      { mode: 0o755 },
    );
    const local = await freePort();
    configure(world, sshd, local, target.port, `proxy_command: "${script} %h %p"`);
    const first = await world.run(['up', '--timeout', '2s']);
    expect(first, first.stderr).toMatchObject({ code: 5 });
    expect(first.stderr).toContain(`(box's proxy command says) please open\n`);
    expect(first.stderr).toContain(`(box's proxy command says) ${address}\n`);
    expect((await world.tunnel('db')).error?.message).toContain(`its proxy command says: ${address}`);
    const second = world.start(['up']);
    let shown = '';
    second.stderr?.on('data', (chunk) => (shown += String(chunk)));
    await eventually(() => shown.includes(address));
    writeFileSync(person ?? '', '');
    expect(await finished(second)).toMatchObject({ code: 0 });
    expect(await request(local, 'abc')).toMatchObject({ text: 'ABC' });
    expect(readFileSync(starts ?? '', 'utf8')).toBe('started\n');
  });

  test('that fails is 5 with its last words and its code', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const way = `proxy_command: "sh -c 'echo the gate is shut >&2; exit 9'"`;
    configure(world, sshd, await freePort(), 9, way);
    const up = await world.run(['up', '--timeout', '1s']);
    expect(up, up.stderr).toMatchObject({ code: 5 });
    expect(up.stderr).toContain('ended with code 9: the gate is shut');
  });

  test('that never says a word is given up at connect_timeout and killed', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, await freePort(), 9, 'proxy_command: sleep 8765432, connect_timeout: 300ms');
    const up = await world.run(['up', '--timeout', '3s']);
    expect(up, up.stderr).toMatchObject({ code: 5 });
    expect(up.stderr).toContain('its proxy command brought no word of it in 0.3s');
    expect((await world.tunnel('db')).error?.code).toBe('TIMED_OUT');
    await world.run(['down']);
    await eventually(() => running('sleep 8765432').length === 0);
  });
});

describe.skipIf(sshdMissing() !== null)('a proxy', () => {
  test.each([
    ['socks5', false],
    ['socks5', true],
    ['http', false],
    ['http', true],
  ] as const)('%s, with a login: %s, is gone through, and so is its outage', async (scheme, login) => {
    const user = login ? { user: 'me', password: 'p@ss: word' } : null;
    await using proxy = await startProxy(scheme, user);
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    const url = `${scheme}://${login ? 'me@' : ''}127.0.0.1:${proxy.port}`;
    const way = login ? `{ url: "${url}", password: "env:PROXY_WORD" }` : url;
    configure(world, sshd, local, target.port, `proxy: ${way}`);
    const up = await world.run(['up'], { env: { PROXY_WORD: 'p@ss: word' } });
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(await request(local, 'through')).toEqual({ text: 'THROUGH', error: null });
    sshd.signalSessions('SIGKILL');
    await world.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    expect(new Set(proxy.asked)).toEqual(new Set([`127.0.0.1:${sshd.port}`]));
  });

  test.each(['socks5', 'http'] as const)(
    '%s that refuses the login is 6 once, and asked again when the password file changes',
    async (scheme) => {
      await using proxy = await startProxy(scheme, { user: 'me', password: 'right' });
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      await using world = createWorld();
      const file = join(world.folder, 'word');
      writeFileSync(file, 'wrong\n', { mode: 0o600 });
      const url = `${scheme}://me@127.0.0.1:${proxy.port}`;
      const way = `proxy: { url: "${url}", password: "file:${file}" }`;
      configure(world, sshd, await freePort(), target.port, way);
      const up = await world.run(['up']);
      expect(up, up.stderr).toMatchObject({ code: 6 });
      expect(await world.tunnel('db')).toMatchObject({ state: 'needs-you', error: { code: 'AUTH_REFUSED' } });
      expect((await world.run(['up'])).code).toBe(6);
      expect(connections(sshd)).toBe(1); // startSshd's own
      writeFileSync(file, 'right\n');
      await world.until('db', ({ state }) => state === 'up');
    },
  );

  test('with trust: the key is fetched through it', async () => {
    await using proxy = await startProxy('socks5', null);
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, proxy: "socks5://127.0.0.1:${proxy.port}" }
tunnels:
  db: { host: box, local: auto, remote: 9 }
`);
    const trust = await world.run(['trust', '--yes', 'db']);
    expect(trust, trust.stderr).toMatchObject({ code: 0 });
    expect(trust.stdout).toContain(sshd.fingerprint());
    expect(proxy.asked).toEqual([`127.0.0.1:${sshd.port}`]);
    expect((await world.run(['up'])).code).toBe(0);
  });
});

describe.skipIf(sshdMissing() !== null)('an alias of ~/.ssh/config', () => {
  const sshFolder = (world: World): string => {
    const folder = join(world.env['HOME'] ?? '', '.ssh');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  };

  test.each([
    ['with ssh', true],
    ['without ssh on PATH', false],
  ])('brings its ProxyJump and its ProxyCommand: %s', async (_, withSsh) => {
    await using bastion = await startSshd();
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [jumped, commanded] = [await freePort(), await freePort()];
    const folder = sshFolder(world);
    writeFileSync(
      join(folder, 'config'),
      `Host gate
  HostName 127.0.0.1
  Port ${bastion.port}
  User ${bastion.user}
  IdentityFile ${bastion.identity}
Host inner commanded
  HostName 127.0.0.1
  Port ${sshd.port}
  User ${sshd.user}
  IdentityFile ${sshd.identity}
Host inner
  ProxyJump gate
Host commanded
  ProxyCommand nc %h %p
Host *
  IdentitiesOnly yes
  StrictHostKeyChecking accept-new
`,
      { mode: 0o600 },
    );
    // a PATH on which there is nc and sh, and ssh or not
    const programs = join(world.folder, 'bin');
    mkdirSync(programs);
    const wanted = ['nc', 'sh', ...(withSsh ? ['ssh'] : [])];
    for (const program of wanted) {
      const path = execFileSync('which', [program], { encoding: 'utf8' }).trim();
      execFileSync('ln', ['-s', path, join(programs, program)]);
    }
    world.env['PATH'] = programs;
    world.config(`tunnels:
  jumped: { host: inner, local: ${jumped}, remote: "127.0.0.1:${target.port}" }
  commanded: { host: commanded, local: ${commanded}, remote: "127.0.0.1:${target.port}" }
`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(await world.tunnel('jumped')).toMatchObject({ via: ['gate'] });
    expect(await request(jumped, 'one')).toEqual({ text: 'ONE', error: null });
    expect(await request(commanded, 'two')).toEqual({ text: 'TWO', error: null });
    expect(running(`nc 127.0.0.1 ${sshd.port}`)).toHaveLength(1);
    expect(existsSync(join(folder, 'known_hosts'))).toBe(false);
  });
});
