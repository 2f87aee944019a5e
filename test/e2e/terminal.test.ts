// The questions as a person sees them, in a real terminal, against a real sshd (SPEC 7).
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { boxConfig } from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { openTerminal, tmuxMissing, type Terminal } from '../helpers/tmux.ts';
import { createWorld, type World } from '../helpers/world.ts';

const bin = resolve(import.meta.dirname, '../../bin/tunnel.js');
const missing = sshdMissing() ?? tmuxMissing();
const question = /Trust it\? yes, no, or paste the fingerprint you were given \[no\]:/;

function configure(world: World, sshd: Sshd, local: number, target: number, identity = sshd.identity): void {
  world.config(`
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${identity}], agent: false }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target}" }
`);
}

/** Types a command line and, after it, what it exited with. */
function run(terminal: Terminal, line: string): void {
  terminal.type(`${process.execPath} ${bin} ${line}; echo "exit=$?"`);
  terminal.key('Enter');
}

const storeOf = (world: World): string => join(world.folder, 'known_hosts');
const stored = (world: World): string =>
  existsSync(storeOf(world)) ? readFileSync(storeOf(world), 'utf8') : '';

describe.skipIf(missing !== null)('on a terminal', () => {
  test('a new host is introduced with its key and picture; yes goes on, and says where the key is kept', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    const local = await freePort();
    configure(world, sshd, local, target.port);
    run(terminal, 'up');
    const asked = (await terminal.until(question)).split('\n');
    const at = asked.findIndex((line) => line.includes('is new here'));
    expect(asked[at]).toBe(`127.0.0.1:${sshd.port} is new here. Its ed25519 key:`);
    expect(asked[at + 1]).toBe(`  ${sshd.fingerprint()}`);
    expect(asked[at + 2]).toMatch(/^ {2}\+--\[ED25519 256\]--\+$/);
    expect(asked[at + 12]).toMatch(/^ {2}\+----\[SHA256\]-----\+$/);
    expect(asked[at + 13]).toMatch(question);
    expect(stored(world)).toBe('');
    terminal.type('yes');
    terminal.key('Enter');
    const done = await terminal.until(/exit=0/);
    expect(done).toContain('known_hosts:1');
    expect(done).toContain(`db  up  127.0.0.1:${local} → 127.0.0.1:${target.port} via box`);
    expect(stored(world)).toBe(`${sshd.knownHostsLine()}\n`);
    expect(await request(local, 'x')).toEqual({ text: 'X', error: null });
  });

  test('each hop of several is introduced by its name and its place', async () => {
    await using bastion = await startSshd();
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    const login = (server: Sshd): string =>
      `{ hostname: 127.0.0.1, port: ${server.port}, user: ${server.user}, identity: [${server.identity}], agent: false`;
    world.config(`
hosts:
  bastion: ${login(bastion)} }
  box: ${login(sshd)}, jump: [bastion] }
tunnels:
  db: { host: box, local: auto, remote: 9 }
`);
    run(terminal, 'up');
    const first = await terminal.until(question);
    expect(first).toContain(`bastion (127.0.0.1:${bastion.port}), hop 1 of 2, is new here. Its ed25519 key:`);
    terminal.type('yes');
    terminal.key('Enter');
    const second = await terminal.until(/hop 2 of 2, is new here[^]*Trust it\?/);
    expect(second).toContain(`box (127.0.0.1:${sshd.port}), hop 2 of 2, is new here.`);
    terminal.type('yes');
    terminal.key('Enter');
    await terminal.until(/exit=0/);
  });

  test('no is exit 7 and nothing is stored', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    run(terminal, 'up');
    await terminal.until(question);
    terminal.key('Enter');
    const done = await terminal.until(/exit=7/);
    expect(done).toMatch(/hint: tunnel (trust|up)/);
    expect(stored(world)).toBe('');
    expect(sshd.log()).not.toContain('userauth-request');
  });

  test('a pasted fingerprint goes on, another one does not', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    run(terminal, 'up');
    await terminal.until(question);
    terminal.type(`SHA256:${'A'.repeat(43)}`);
    terminal.key('Enter');
    await terminal.until(
      /another key's fingerprint[^]*Trust it\?[^]*Trust it\?|Trust it\?[^]*another[^]*Trust it\?/,
    );
    expect(stored(world)).toBe('');
    terminal.type(sshd.fingerprint());
    terminal.key('Enter');
    await terminal.until(/exit=0/);
    expect(stored(world)).toBe(`${sshd.knownHostsLine()}\n`);
  });

  test('a passphrase is asked without echo, a wrong one again', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    const locked = makeKey(join(world.folder, 'locked'), ['-t', 'ed25519'], 'correct horse');
    writeFileSync(sshd.authorizedKeys, readFileSync(`${locked}.pub`));
    configure(world, sshd, await freePort(), 9, locked);
    run(terminal, 'up --accept-new');
    await terminal.until(/Passphrase for .*locked \(kept in memory until down\):/);
    terminal.type('wrong');
    terminal.key('Enter');
    await terminal.until(/Passphrase[^]*Passphrase/);
    terminal.type('correct horse');
    terminal.key('Enter');
    const done = await terminal.until(/exit=0/);
    expect(done).not.toContain('correct horse');
    expect(done).not.toContain('wrong\n');
    expect(done).toContain('*****');
  });

  test('Ctrl-C at a question ends the waiting, not the tunnel, and says so', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    run(terminal, 'up');
    await terminal.until(question);
    terminal.key('C-c');
    const done = await terminal.until(/exit=130/);
    expect(done).toContain('stays wanted');
    expect((await world.tunnel('db')).state).not.toBe('down');
    expect(stored(world)).toBe('');
  });

  test('Ctrl-C while it waits for a server does the same', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    await sshd.stop();
    run(terminal, 'up');
    await world.until('db', ({ state }) => state === 'retrying');
    terminal.key('C-c');
    const done = await terminal.until(/exit=130/);
    expect(done).toContain('stays wanted');
    expect((await world.tunnel('db')).state).not.toBe('down');
  });

  test.each([
    ['open', 'db'],
    ['up', '-L', 'auto:localhost:80', 'box'],
    ['exec', '-L', 'auto:localhost:80', 'box', '--', 'true'],
  ])(
    'SIGINT ends a command that has yet to reach the supervisor, and nothing is left of it: %s %s',
    async (...words) => {
      await using sshd = await startSshd();
      await using world = createWorld();
      world.config(boxConfig(sshd, `  db: { host: box, local: auto, remote: 9, open: "http://{address}/" }`));
      expect((await world.run(['up'])).code).toBe(0);
      const pid = Number((await world.status()).supervisor.pid);
      const waiting = (): number =>
        readFileSync('/proc/net/unix', 'utf8')
          .split('\n')
          .filter((line) => line.includes(world.folder)).length;
      const before = waiting();
      process.kill(pid, 'SIGSTOP');
      try {
        const asking = world.start(words);
        const [said, ended] = [text(asking.stderr as Readable), once(asking, 'exit')];
        while (waiting() <= before) await new Promise((resolve) => setTimeout(resolve, 20));
        asking.kill('SIGINT');
        expect(await ended).toEqual([130, null]);
        expect(await said).toBe('');
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      expect((await world.run(['reload'])).code).toBe(0);
      expect((await world.status()).tunnels.map(({ name }) => name)).toEqual(['db']);
    },
  );

  test('up at a server that is away tells what is tried and until when, in place, and leaves nothing of it', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    await sshd.stop();
    run(terminal, 'up --accept-new');
    const waiting = await terminal.until(/s, until \d\d:\d\d:\d\d {2}db: /);
    expect(waiting).toContain(`127.0.0.1:${sshd.port}`);
    await terminal.until(/ ([4-9]|\d\d)s, until .* {2}db: /);
    expect(terminal.screen().match(/, until /g)).toHaveLength(1);
    await sshd.start();
    const done = await terminal.until(/exit=0/);
    expect(done).not.toContain(', until ');
    expect(done).toMatch(/db {2}up {2}/);
  });

  test('off a terminal it is said once, in one line a cause', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, await freePort(), 9);
    await sshd.stop();
    const { code, stderr } = await world.run(['up', '--timeout', '5s']);
    expect(code).toBe(5);
    expect(stderr.match(/^db: .*; trying until \d\d:\d\d:\d\d$/gm)).toHaveLength(1);
    expect(stderr).not.toContain('\u001b');
    const quiet = await world.run(['--quiet', 'up', '--timeout', '4s']);
    expect(quiet.stderr).not.toContain('trying until');
  });

  test('a question in the middle of the waiting has the screen to itself', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    await sshd.stop();
    run(terminal, 'up');
    await terminal.until(/, until /);
    await sshd.start();
    const asked = await terminal.until(question);
    expect(asked).not.toContain(', until ');
    terminal.type('yes');
    terminal.key('Enter');
    await terminal.until(/exit=0/);
  });

  test('allow shows what the file does and asks; no leaves it as it was', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const { TUNNEL_HOME: _none, ...env } = world.env;
    configure(world, sshd, await freePort(), 9);
    using terminal = openTerminal({ ...env, XDG_STATE_HOME: join(world.folder, 'state') });
    terminal.type(`cd ${world.folder}`);
    terminal.key('Enter');
    run(terminal, 'allow');
    const asked = await terminal.until(/Allow it\? yes or no \[no\]:/);
    expect(asked).toContain(`connects to box (${sshd.user}@127.0.0.1:${sshd.port})`);
    terminal.key('Enter');
    await terminal.until(/is not allowed[^]*exit=3/);
    run(terminal, 'allow');
    await terminal.until(/exit=3[^]*Allow it\?/);
    terminal.type('yes');
    terminal.key('Enter');
    await terminal.until(/may be used as it is now\nexit=0/);
    run(terminal, '--json allow'); // what is allowed is not asked for again
    const again = await terminal.until(/--json allow[^]*exit=0/);
    expect(again.slice(again.lastIndexOf('--json allow'))).not.toContain('Allow it?');
  });

  test('of two terminals at one question the first answer wins and the other question disappears', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using one = openTerminal(world.env);
    using two = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    run(one, 'up');
    await one.until(question);
    run(two, 'up');
    await two.until(question);
    two.type('yes');
    two.key('Enter');
    await two.until(/exit=0/);
    const other = await one.until(/exit=0/);
    expect(other).toContain('answered elsewhere');
    expect(other).not.toMatch(question);
  });

  test('status --watch draws on a screen of its own and gives the old one back', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, await freePort(), 9);
    expect((await world.run(['up', '--accept-new'])).code).toBe(0);
    run(terminal, 'status --watch');
    await terminal.until(/db\s+up/);
    await sshd.stop();
    await terminal.until(/db\s+retrying[^]*Ctrl-C ends the view/);
    await sshd.start();
    await terminal.until(/db\s+up/);
    terminal.key('C-c');
    const after = await terminal.until(/exit=130/);
    expect(after).not.toContain('NAME');
  });

  test('init asks three questions, says where no key can be offered, and the demo ends well', async () => {
    await using world = createWorld();
    using terminal = openTerminal({ ...world.env, SSH_AUTH_SOCK: '' });
    run(terminal, 'init');
    await terminal.until(/SSH server \(user@host, or a name from ~\/\.ssh\/config\):/);
    terminal.type('me@katie.example.org');
    terminal.key('Enter');
    await terminal.until(/Reach what from there \(host:port\):/);
    terminal.type('katie.example.org:99999');
    terminal.key('Enter');
    await terminal.until(/must be/);
    terminal.type('katie.example.org:12000');
    terminal.key('Enter');
    await terminal.until(/Local port \[12000\]:/);
    terminal.type('2345');
    terminal.key('Enter');
    const done = await terminal.until(/exit=0/);
    expect(done).toMatch(/wrote .*tunnels\.yaml with one tunnel, katie\n/);
    expect(done).toMatch(
      /^no private key was found: .*\nhint: .* identity: FILE under katie in [^]*\nnext: tunnel up$/m,
    );
    run(terminal, 'status; clear');
    await terminal.until(/katie {2}down/);
    run(terminal, 'demo');
    await terminal.until(question);
    terminal.type('yes');
    terminal.key('Enter');
    const shown = await terminal.until(/nothing of it is left/);
    expect(shown).toContain('THIS IS A TEST');
  });
});
