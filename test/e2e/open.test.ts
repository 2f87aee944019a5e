// `tunnel open` from outside: the URL on stdout, and the program of a desktop that gets it.
import { expect, test } from 'vitest';
import { desktopIn } from '../helpers/desktop.ts';
import { boxConfig, onlyForward, portOf } from '../helpers/forwards-world.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { createWorld } from '../helpers/world.ts';

test.skipIf(sshdMissing() !== null)(
  'a tunnel that is down is brought up, its URL printed, and opened where there is a desktop',
  async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const url = 'http://{host}:{port}/?a=1&b=$(x);{address}';
    world.config(
      boxConfig(
        sshd,
        `  wiki: { host: box, local: auto, remote: 9, autostart: false, open: "${url}" }
  web: { host: box, local: auto, remote: 9, autostart: false, open: "https://localhost:{port}" }
  away: { host: "me@127.0.0.1:1", local: auto, remote: 9, autostart: false, open: "http://{address}" }`,
      ),
    );
    const desktop = desktopIn(world);
    const ran = await world.run(['open', 'wiki'], { env: desktop.env });
    const port = portOf(onlyForward(await world.tunnel('wiki')).listen);
    const filled = `http://127.0.0.1:${port}/?a=1&b=$(x);127.0.0.1:${port}`;
    expect(ran, ran.stderr).toMatchObject({ code: 0, stdout: `${filled}\n` });
    expect(await desktop.opened()).toBe(`${filled}|`);
    expect((await world.tunnel('wiki')).state).toBe('up');
    const without = await world.run(['open', 'web', '--json'], { env: { PATH: desktop.env['PATH'] ?? '' } });
    expect(without.code, without.stderr).toBe(0);
    expect(JSON.parse(without.stdout)).toEqual({
      name: 'web',
      url: expect.stringMatching(/^https:\/\/localhost:\d+$/) as string,
      opened: false,
    });
    expect(await desktop.opened()).toBe(`${filled}|`);
    const failed = await world.run(['open', 'away', '--timeout', '0s'], { env: desktop.env });
    expect(failed).toMatchObject({ code: 5, stdout: '' });
    expect(await desktop.opened()).toBe(`${filled}|`);
    const nothing = await world.run(['open', 'wiki'], { env: { DISPLAY: ':9', PATH: '/nowhere' } });
    expect(nothing).toMatchObject({ code: 0, stdout: `${filled}\n` });
    expect(nothing.stderr).toContain(
      'it is for you to open: xdg-open was not started, there is no such program',
    );
  },
);

test('a tunnel without open:, several, and none are told, and nothing starts', async () => {
  await using world = createWorld();
  world.config('tunnels: { a1: { host: h, local: 1, remote: 2 }, a2: { host: h, local: 3, remote: 2 } }\n');
  const bare = await world.run(['open', 'a1']);
  expect(bare).toMatchObject({ code: 2, stdout: '' });
  expect(bare.stderr).toMatch(
    /^tunnel: a1 has no open: in the file\nhint: write open: http:\/\/\{address\}\/ under it/,
  );
  expect(await world.run(['open', 'a*'])).toMatchObject({ code: 2 });
  expect(await world.run(['open', 'nope'])).toMatchObject({ code: 2 });
  expect((await world.status()).supervisor.running).toBe(false);
});

test('what a desktop must not be given is a fault of the file, at its place', async () => {
  await using world = createWorld();
  const lines = ['file:///etc/passwd', 'javascript:x', 'xdg', 'http://{user}/', 'http://a b', '-x'].map(
    (url, index) => `  t${index}: { host: h, local: ${index + 1}, remote: 2, open: "${url}" }\n`,
  );
  const good = ['vnc', 'rdp', 'ssh', 'postgres', 'mysql', 'redis', 'https'].map(
    (scheme, index) =>
      `  g${index}: { host: h, local: ${index + 100}, remote: 2, open: "${scheme}://{address}" }\n`,
  );
  const far = '  r: { host: h, type: remote, remote: 80, local: 81, open: "http://{address}" }\n';
  world.config(`tunnels:\n${lines.join('')}${good.join('')}${far}`);
  const check = await world.run(['check', '--json']);
  expect(check.code).toBe(3);
  const { issues } = JSON.parse(check.stdout) as { issues: { path: string; message: string }[] };
  expect(issues.map(({ path }) => path)).toEqual([
    ...lines.map((_, at) => `tunnels.t${at}.open`),
    'tunnels.r.open',
  ]);
  expect(issues[0]?.message).toBe('must be a URL of http, https, vnc, rdp, ssh, postgres, mysql or redis');
  expect(issues.at(-1)?.message).toBe('cannot fill in {address} of open: the tunnel has no local port');
});
