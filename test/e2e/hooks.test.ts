// `hooks:` from outside: what a person's commands are told as tunnels come up, need somebody and go down, to the supervisor's end.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { boxConfig, onlyForward, portOf } from '../helpers/forwards-world.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { createWorld, finished, type World } from '../helpers/world.ts';

/** A command is started beside everything else. */
const soon = { timeout: 20_000 };

const withSshd = test.skipIf(sshdMissing() !== null);

/** Appends a line to FILE: its first word, and what else it is told. */
const script =
  'echo "$0 $TUNNEL_NAME $TUNNEL_PREVIOUS $TUNNEL_STATE $TUNNEL_PORT $TOKEN $SEEN" >> "$1"; [ "$0" != bad ] || exit 7';
const hook = (word: string, file: string): string => JSON.stringify(['/bin/sh', '-c', script, word, file]);

const linesOf = (file: string): readonly string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];

const logOf = async (world: World): Promise<string> => (await world.run(['logs', '-n', '500'])).stdout;

withSshd('hooks are told of up, needs-you and down, and that of down has its time at the end', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  const file = join(world.folder, 'told');
  world.config(`
hooks: { up: ${hook('top', file)}, down: ${hook('top', file)} }
${boxConfig(
  sshd,
  `  db: { host: box, local: auto, remote: 9, hooks: { up: ${hook('own', file)} } }
  strange: { host: box, local: auto, remote: 9, host_keys: strict, host_key_alias: nobody, hooks: { needs_you: ${hook('bad', file)} } }
  secret: { host: box, local: auto, remote: 9, autostart: false, password: "env:TOKEN" }`,
)}`);
  const env = { TOKEN: 'hidden', SEEN: 'seen' };
  const ran = await world.run(['up', 'strange'], { env });
  expect(ran.code).toBe(7);
  await expect
    .poll(() => linesOf(file), soon)
    .toEqual([expect.stringMatching(/^bad strange connecting needs-you \d+ {2}seen$/)]);
  await expect
    .poll(() => logOf(world), soon)
    .toContain('the needs-you hook of strange failed, on /bin/sh: it ended with 7');
  expect((await world.run(['up', 'db'], { env })).code).toBe(0);
  const port = portOf(onlyForward(await world.tunnel('db')).listen);
  await expect.poll(() => linesOf(file).at(-1), soon).toBe(`own db connecting up ${port}  seen`);
  expect(await world.run(['down'])).toMatchObject({ code: 0 });
  await world.run(['status']); // a supervisor on its way out is waited for
  expect(linesOf(file).slice(2).sort()).toEqual([
    expect.stringMatching(`^top db stopping down ${port}  seen$`),
    expect.stringMatching(/^top strange stopping down \d+ {2}seen$/),
  ]);
});

withSshd(
  'a changed hook is that of the next change, and a foreground runs its down hooks at SIGTERM',
  async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const file = join(world.folder, 'told');
    const tunnels = (word: string): string =>
      boxConfig(sshd, `  db: { host: box, local: auto, remote: 9, hooks: { down: ${hook(word, file)} } }`);
    world.config(tunnels('old'));
    const child = world.start(['up', '--foreground']);
    const ended = finished(child);
    await world.until('db', ({ state }) => state === 'up');
    writeFileSync(join(world.folder, 'tunnels.yaml'), tunnels('new'));
    expect(await world.run(['reload'])).toMatchObject({ code: 0 });
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
    expect(linesOf(file)).toEqual([expect.stringMatching(/^new db stopping down \d+$/)]);
  },
);
