// `tunnel top` as a person sees it: in a real terminal, against a real sshd, and what it leaves of the terminal however it ends.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { desktopIn } from '../helpers/desktop.ts';
import { boxConfig } from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { openTerminal, tmuxMissing, type Terminal } from '../helpers/tmux.ts';
import { built, createWorld, type World } from '../helpers/world.ts';

const missing = sshdMissing() ?? tmuxMissing();
const small = { columns: 80, rows: 24 };
const chosenUp = /^> db +up /m;

function configure(world: World, sshd: Sshd, local: number, target: number): void {
  world.config(`
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target}" }
`);
}

/** Types a command line and, after it, what it exited with. */
function run(terminal: Terminal, line: string): void {
  terminal.type(`${line}; echo "exit=$?"`);
  terminal.key('Enter');
}
const top = `${process.execPath} ${built} top`;

/** Waits until the terminal reads lines and echoes, as a shell wants it. */
let asked = 0;
async function isRestored(terminal: Terminal): Promise<void> {
  asked += 1;
  run(terminal, `echo "modes ${asked}: $(stty -a | tr ' ;' '\\n\\n' | grep -cx -e icanon -e echo)"`);
  const shown = await terminal.until(new RegExp(`modes ${asked}: 2`));
  expect(shown).not.toMatch(chosenUp);
}

describe.skipIf(missing !== null)('the live screen', () => {
  test('shows who is connected, takes down and brings up by keys, and is right after a resize', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    configure(world, sshd, local, target.port);
    expect((await world.run(['up', '--accept-new'])).code).toBe(0);
    using terminal = openTerminal(world.env, small);
    run(terminal, top);
    await terminal.until(chosenUp);
    const client = connect(local, '127.0.0.1');
    client.on('error', () => undefined);
    await once(client, 'connect');
    client.write('this is a test');
    await once(client, 'data');
    const seen = await terminal.until(new RegExp(`${process.pid} .*14 B +14 B`));
    expect(seen).toContain(`127.0.0.1:${local} → 127.0.0.1:${target.port}`);
    terminal.key('d');
    await terminal.until(/take db down\? Its connections are cut off\./);
    expect((await world.tunnel('db')).state).toBe('up');
    terminal.key('y');
    await terminal.until(/^> db +down /m);
    await terminal.until(/supervisor is gone: u brings up a tunnel/);
    terminal.key('u');
    await terminal.until(chosenUp);
    terminal.resize(120, 40);
    expect(await terminal.until(/LISTEN.*LATENCY/)).toMatch(chosenUp);
    terminal.key('l');
    await terminal.until(/^log of db$[^]*db is up/m);
    terminal.key('q');
    await terminal.until(/exit=0/);
    await isRestored(terminal);
  });

  test('opens what a tunnel leads to, and says where there is nothing to open', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const local = await freePort();
    world.config(
      boxConfig(
        sshd,
        `  wiki: { host: box, local: ${local}, remote: 9, autostart: false, open: "http://{address}/" }
  other: { host: box, local: auto, remote: 9 }`,
      ),
    );
    expect((await world.run(['up'])).code).toBe(0);
    const desktop = desktopIn(world);
    using terminal = openTerminal({ ...world.env, ...desktop.env }, small);
    run(terminal, top);
    await terminal.until(/^> wiki +down /m);
    terminal.key('o');
    await terminal.until(new RegExp(`^opened http://127\\.0\\.0\\.1:${local}/$`, 'm'));
    expect(await desktop.opened()).toBe(`http://127.0.0.1:${local}/|`);
    terminal.key('G');
    await terminal.until(/^> other +up /m);
    terminal.key('o');
    // on the screen again: outside of it the same is said
    await terminal.until(
      /^> other +up [^]*^other has no open: in the file\nhint: write open: http:\/\/\{address\}\/ under it/m,
    );
    terminal.key('q');
    await terminal.until(/exit=0/);
    await isRestored(terminal);
  });

  test('ends by a key while a supervisor that is slow has yet to answer', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(boxConfig(sshd, `  db: { host: box, local: auto, remote: 9 }`));
    expect((await world.run(['up'])).code).toBe(0);
    const { supervisor } = await world.status();
    using terminal = openTerminal(world.env, small);
    run(terminal, top);
    await terminal.until(chosenUp);
    process.kill(Number(supervisor.pid), 'SIGSTOP');
    try {
      terminal.key('o'); // the screen is left, comes back, and connects anew
      await terminal.until(/^> db +up [^]*^db has no open: in the file/m);
      terminal.key('q');
      await terminal.until(/^tunnel open db$/m);
    } finally {
      process.kill(Number(supervisor.pid), 'SIGCONT');
    }
    await terminal.until(/exit=0/);
    await isRestored(terminal);
  });

  test('asks the question that a tunnel waits for, and comes back when it is answered; SIGTERM ends it there too', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, await freePort(), 9);
    expect((await world.run(['up'])).code).toBe(7);
    using terminal = openTerminal(world.env, small);
    const pidFile = join(world.folder, 'pid');
    run(terminal, `sh -c 'echo $$ > ${pidFile}; exec ${top}'`);
    await terminal.until(/^> db +needs-you /m);
    terminal.key('a');
    await terminal.until(/Trust it\? yes, no/);
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGTERM');
    await terminal.until(/exit=143/);
    await isRestored(terminal);
    run(terminal, top);
    await terminal.until(/^> db +needs-you /m);
    terminal.key('a');
    await terminal.until(/exit=143[^]*Trust it\? yes, no/);
    terminal.type('yes');
    terminal.key('Enter');
    await terminal.until(chosenUp);
    terminal.key('C-c');
    await terminal.until(/exit=130/);
    await isRestored(terminal);
  });

  test('gives the terminal back when it is stopped, ended or crashes, and goes on when the supervisor is back', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, await freePort(), 9);
    expect((await world.run(['up', '--accept-new'])).code).toBe(0);
    using terminal = openTerminal(world.env, small);
    const pidFile = join(world.folder, 'pid');
    run(terminal, `sh -c 'echo $$ > ${pidFile}; exec ${top}'`);
    await terminal.until(chosenUp);
    terminal.key('C-z');
    await terminal.until(/Stopped/);
    await isRestored(terminal);
    terminal.type('fg; echo "end=$?"');
    terminal.key('Enter');
    await terminal.until(chosenUp);
    process.kill((await world.status()).supervisor.pid ?? 0, 'SIGKILL');
    await terminal.until(/supervisor is gone/);
    expect((await world.run(['up'])).code).toBe(0);
    expect(await terminal.until(chosenUp)).not.toContain('is gone');
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGTERM');
    await terminal.until(/end=143/);
    await isRestored(terminal);
    const [crash, now] = [join(world.folder, 'crash.cjs'), join(world.folder, 'now')];
    writeFileSync(
      crash,
      `setInterval(() => { if (require('node:fs').existsSync('${now}')) throw new Error('boom'); }, 20).unref();`,
    );
    terminal.type('clear');
    terminal.key('Enter');
    run(terminal, `NODE_OPTIONS='--require ${crash}' ${top}`);
    await terminal.until(chosenUp);
    writeFileSync(now, '');
    await terminal.until(/Error: boom[^]*exit=1/);
    await isRestored(terminal);
  });
});

test.each([
  [{}, 'needs a terminal'],
  [{ TERM: 'dumb' }, 'can move its cursor'],
])('off a terminal (%j) it is exit 2, with the command for that', async (env, why) => {
  await using world = createWorld();
  const ran = await world.run(['top'], { env });
  expect(ran.code).toBe(2);
  expect(ran.stderr).toContain(why);
  expect(ran.stderr).toContain('hint: tunnel status --watch');
  expect(ran.stdout).toBe('');
});
