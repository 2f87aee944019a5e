// ProxyCommand lines: tokens, when a shell is needed, and what is never passed on.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/model/clock.ts';
import {
  commandLine,
  commandStream,
  createCommandTurns,
  type CommandStream,
} from '../../../src/ssh/transport/command.ts';
import { temporaryFolder } from '../../helpers/folder.ts';
import { manualClock } from '../../helpers/manual-clock.ts';
import { hostOf, someUser } from '../../helpers/ssh-dialer.ts';
import { isAlive } from '../../helpers/world.ts';

/** A command under way: what it says, and when the server's first byte is there. */
async function started(
  command: string,
  { clock = systemClock, turns = createCommandTurns(), signal = new AbortController().signal } = {},
): Promise<{ stream: CommandStream; logged: string[]; said: string[]; reached: Promise<void> }> {
  const logged: string[] = [];
  const said: string[] = [];
  let reach = (): void => undefined;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  const stream = await commandStream({ ...host, firstWordsMs: null }, command, {
    clock,
    turns,
    signal,
    local: someUser,
    variables: { PATH: process.env['PATH'] ?? '' },
    withheld: new Set(),
    log: (_level, _event, message) => logged.push(message),
    talk: (line) => said.push(line),
    reached: reach,
  });
  stream.on('error', () => undefined);
  return { stream, logged, said, reached };
}

const patiently = { timeout: 20_000 };

const endOf = (stream: CommandStream): Promise<unknown> =>
  new Promise((resolve) => stream.resume().once('error', resolve).once('close', resolve));

const host = hostOf(
  { port: 2222, user: 'me', identity: '/dev/null' },
  { name: 'katie', hostname: 'katie.example.org', hostKeyAlias: 'kt' },
);

describe('a proxy command', () => {
  test.each([
    ['nc %h %p', ['nc', 'katie.example.org', '2222']],
    ['ssh -W %h:%p bastion', ['ssh', '-W', 'katie.example.org:2222', 'bastion']],
    ['x %n %r %k %% %u', ['x', 'katie', 'me', 'kt', '%', 'me']],
    ['x %u %i %d %l %L', ['x', 'me', '4321', '/home/me', 'laptop.example.org', 'laptop']],
    ['  /usr/bin/nc   -q 1  %h  %p ', ['/usr/bin/nc', '-q', '1', 'katie.example.org', '2222']],
  ])('without anything for a shell is run as it stands: %s', (command, argv) => {
    expect(commandLine(host, command, someUser)).toEqual({ argv, shell: false });
  });

  test.each([
    ['nc "%h" %p 2>/dev/null', 'exec nc "katie.example.org" 2222 2>/dev/null'],
    ['echo $HOME | nc %h %p', 'exec echo $HOME | nc katie.example.org 2222'],
    ['FOO=bar nc %h %p', 'FOO=bar nc katie.example.org 2222'],
  ])('with words for a shell gets one: %s', (command, line) => {
    expect(commandLine(host, command, someUser)).toEqual({ argv: ['/bin/sh', '-c', line], shell: true });
  });

  test.each([
    ['an unknown token', host, 'nc %Q'],
    ['an empty command', host, '  '],
    ['a host name that is an option', { ...host, hostname: '-oProxyCommand=evil' }, 'nc %h %p'],
    ['a host name for the shell', { ...host, hostname: 'a;rm -rf ~' }, 'nc "%h" %p'],
    ['a user for the shell', { ...host, user: '$(id)' }, 'nc %h "%r"'],
  ])('is refused with %s', (_, bad, command) => {
    expect(() => commandLine(bad, command, someUser)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });

  test('that complains without end is logged up to a limit, and its end is told', async () => {
    const { stream, logged } = await started("head -c 100000 /dev/zero | tr '\\0' x >&2; echo done >&2");
    const failure = await new Promise((resolve) => stream.resume().once('error', resolve));
    expect(failure).toMatchObject({ code: 'UNREACHABLE' });
    expect(logged).toHaveLength(1);
    expect(logged[0]).toHaveLength('katie: '.length + 8192 + ' … (cut at 8192 characters)'.length);
    expect(logged[0]).toMatch(/x … \(cut at 8192 characters\)$/);
  });

  test('that complains without end is heard a hundred lines a second, and read no faster', async () => {
    const clock = manualClock();
    const { stream, logged, said } = await started('x=1; while :; do seq 1000000 1999999 >&2; done', {
      clock,
    });
    for (let second = 1; second <= 10; second += 1) {
      await expect.poll(() => said.length, patiently).toBe(second * 100);
      clock.advance(1000);
    }
    const counted = logged.map((line) => Number(/^katie: … \((\d+) more lines\)$/.exec(line)?.[1] ?? 0));
    expect(counted.filter((more) => more > 0)).toHaveLength(10);
    expect(Math.max(...counted)).toBeLessThan(20_000); // 64 KiB of them came in a piece
    stream.destroy();
    await expect.poll(() => clock.armed(), patiently).toBe(1); // what is to end it for good
  });

  test('that complains of a thousand things and leaves is told with the last of them', async () => {
    const { stream, said } = await started('x=1; seq 1000 >&2; echo the gate is shut >&2; exit 9');
    expect(await endOf(stream)).toMatchObject({
      message: expect.stringMatching(/ended with code 9: the gate is shut$/),
    });
    expect(said.length).toBeLessThan(1000);
  });

  test('that does not heed the word to end is killed, with what it started', async () => {
    const clock = manualClock();
    const deaf =
      "x=1; trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >&2; while :; do sleep 0.1; done' & echo $$ >&2; wait; wait";
    const { stream, said } = await started(deaf, { clock });
    await expect.poll(() => said, patiently).toHaveLength(2);
    stream.destroy();
    await expect.poll(() => clock.armed(), patiently).toBe(1);
    expect(said.map((pid) => isAlive(Number(pid)))).toEqual([true, true]);
    clock.advance(1000);
    await expect.poll(() => said.some((pid) => isAlive(Number(pid))), patiently).toBe(false);
  });

  test('passes a name with shell words on unharmed where no shell reads it', () => {
    expect(commandLine({ ...host, hostname: 'a;b' }, 'nc %h %p', someUser).argv).toEqual([
      'nc',
      'a;b',
      '2222',
    ]);
  });

  test('that asks without ending its line is heard', async () => {
    const { stream, said } = await started("x=1; printf 'Press enter: ' >&2; exec sleep 1000");
    await expect.poll(() => said).toEqual(['Press enter:']);
    stream.destroy();
  });

  test('that says nothing at all is ended after two minutes; one that spoke is left alone, and so is a live one', async () => {
    const clock = manualClock();
    const silent = await started('sleep 1000', { clock });
    const speaking = await started('x=1; echo open https://login.example.org/ >&2; exec sleep 1000', {
      clock,
    });
    const live = await started('x=1; echo SSH-2.0-x; exec sleep 1000', { clock });
    live.stream.resume();
    await live.reached;
    await expect.poll(() => (clock.advance(200), speaking.said)).toHaveLength(1);
    const ended = endOf(silent.stream);
    clock.advance(119_000);
    expect(silent.stream.destroyed).toBe(false);
    clock.advance(1_000_000);
    expect(await ended).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'tcp', tcpLevel: false } });
    expect([speaking.stream.destroyed, live.stream.destroyed]).toEqual([false, false]);
    for (const { stream } of [speaking, live]) stream.destroy();
  });

  test('takes with it what it started, also when it ends first', async () => {
    const { stream, said } = await started('sleep 1000 & echo $! >&2; echo $!');
    expect(await endOf(stream)).toMatchObject({ code: 'UNREACHABLE' });
    await expect.poll(() => isAlive(Number(said[0]))).toBe(false);
  });
});

describe('a second command like one that may be waiting for a person', () => {
  test('is not started before the first has the server, and then all are', async () => {
    const turns = createCommandTurns();
    const file = join(temporaryFolder('turn'), 'person');
    const command = `x=1; until [ -e ${file} ]; do sleep 0.05; done; echo SSH-2.0-x; exec sleep 1000`;
    const first = await started(command, { turns });
    first.stream.resume();
    const others = [started(command, { turns }), started(command, { turns })];
    const other = await started(`${command} `, { turns }); // other words are another matter
    other.stream.destroy();
    let later = 0;
    for (const each of others) void each.then(() => (later += 1));
    await new Promise(setImmediate);
    expect(later).toBe(0);
    writeFileSync(file, '');
    await first.reached;
    const all = [first, ...(await Promise.all(others))];
    for (const { stream } of all) stream.destroy();
  });

  test('goes next when the first has ended without it, or leaves when nobody wants it any more', async () => {
    const turns = createCommandTurns();
    const first = await started('sleep 1000', { turns });
    const unwanted = new AbortController();
    const left = started('sleep 1000', { turns, signal: unwanted.signal });
    const second = started('sleep 1000', { turns });
    let third = false;
    const last = started('sleep 1000', { turns }).then((command) => ((third = true), command));
    unwanted.abort(new Error('down'));
    await expect(left).rejects.toThrow('down');
    first.stream.destroy();
    const next = await second;
    await new Promise(setImmediate);
    expect(third).toBe(false);
    next.stream.destroy();
    (await last).stream.destroy();
  });

  test('is started once a first that cannot be started is known not to be', async () => {
    const turns = createCommandTurns();
    const both = [started('no-such-program', { turns }), started('no-such-program', { turns })];
    for (const each of both) await expect(each).rejects.toThrow('there is no such program');
  });
});
