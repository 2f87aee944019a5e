// Servers on one hostname, told apart by their ports: what a hint says of a host key is about the very hop, and a word that means
// several servers never silently one of them (SPEC 4, 5).
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { createWorld, type World } from '../helpers/world.ts';

const storeOf = (world: World): string => {
  const file = join(world.folder, 'known_hosts');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
};

const trustOnly = (world: World, ...lines: readonly string[]): void =>
  writeFileSync(join(world.folder, 'known_hosts'), lines.map((line) => `${line}\n`).join(''), {
    mode: 0o600,
  });

/** `db` goes to the first server by a name of its own, `jumped` over it to the second by their common hostname. */
function configure(world: World, first: Sshd, second: Sshd, how = ', jump: [db]'): void {
  world.config(`
defaults: { agent: false, identity: [${first.identity}, ${second.identity}] }
hosts:
  db: { hostname: 127.0.0.1, port: ${first.port}, user: ${first.user} }
tunnels:
  db: { host: db, local: auto, remote: 9 }
  jumped: { host: "${second.user}@127.0.0.1", port: ${second.port}, local: auto, remote: 9${how} }
`);
}

/** The words of the first command of ours that the text hints at, without its note. */
function hinted(text: string): string[] {
  const line = /^hint: tunnel (.*?)(?: {4}#.*)?$/m.exec(text)?.[1];
  expect(line, text).toBeDefined();
  return (line ?? '').split(' ');
}

/** A key that the server at this place does not have. */
function otherKey(world: World, name: string, { port }: Sshd): string {
  const [type, blob] = readFileSync(`${makeKey(join(world.folder, name))}.pub`, 'utf8').split(' ');
  return `[127.0.0.1]:${port} ${type} ${blob}`;
}

describe.skipIf(sshdMissing() !== null)('two servers on one hostname', () => {
  test.each([
    ['behind the other', ', jump: [db]'],
    ['beside the other', ''],
  ])('the hint of an unknown and of a changed key is about the hop meant, %s', async (_, how) => {
    await using first = await startSshd();
    await using second = await startSshd();
    await using world = createWorld();
    configure(world, first, second, how);
    trustOnly(world, first.knownHostsLine());
    const unknown = await world.run(['up', 'jumped']);
    expect(unknown.code, unknown.stderr).toBe(7);
    expect(hinted(unknown.stderr)).toEqual(['trust', 'jumped']);
    const pasted = await world.run([...hinted(unknown.stderr), '--yes']);
    expect(pasted, pasted.stderr).toMatchObject({ code: 0 });
    expect(pasted.stdout).toContain(second.fingerprint());
    await world.until('jumped', ({ state }) => state === 'up');
    expect((await world.run(['down'])).code).toBe(0);
    const wrong = otherKey(world, 'wrong', second);
    trustOnly(world, first.knownHostsLine(), wrong);
    const changed = await world.run(['up', 'jumped']);
    expect(changed.code, changed.stderr).toBe(7);
    expect(hinted(changed.stderr)).toEqual(['trust', 'jumped', '--replace']);
    const replaced = await world.run([...hinted(changed.stderr), '--yes']);
    expect(replaced, replaced.stderr).toMatchObject({ code: 0 });
    await world.until('jumped', ({ state }) => state === 'up');
    expect(storeOf(world).split('\n')).toEqual(
      expect.arrayContaining([first.knownHostsLine(), second.knownHostsLine(), `@revoked ${wrong}`]),
    );
    expect(storeOf(world)).not.toContain(`@revoked ${first.knownHostsLine()}`);
  });

  test('the hostname alone means both of them, and neither for what is said of one key', async () => {
    await using first = await startSshd();
    await using second = await startSshd();
    await using world = createWorld();
    configure(world, first, second);
    const both = await world.run(['trust', '--yes', '127.0.0.1']);
    expect(both, both.stderr).toMatchObject({ code: 0 });
    expect(both.stdout).toContain(first.fingerprint());
    expect(both.stdout).toContain(second.fingerprint());
    const wrong = [otherKey(world, 'one', first), otherKey(world, 'two', second)];
    trustOnly(world, ...wrong);
    for (const option of [['--replace'], ['--also'], ['--fingerprint', second.fingerprint()]]) {
      const refused = await world.run(['trust', '--yes', ...option, '127.0.0.1']);
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr).toContain(
        `${option[0]} is for one server, and this goes to several: db (127.0.0.1:${first.port}) and 127.0.0.1:${second.port}`,
      );
      expect(hinted(refused.stderr)).toEqual(['trust', ...option, 'db']);
      expect(refused.stderr).toContain(`hint: tunnel trust ${option.join(' ')} 127.0.0.1:${second.port}\n`);
    }
    expect(storeOf(world).split('\n')).toEqual(wrong);
  });

  test('off a terminal trust names the server that it stands before, of a way with two', async () => {
    await using first = await startSshd();
    await using second = await startSshd();
    await using world = createWorld();
    configure(world, first, second, `, jump: ["${first.user}@127.0.0.1:${first.port}"]`);
    const told: string[] = [];
    for (const sshd of [first, second]) {
      const refused = await world.run(['trust', 'jumped']);
      expect(refused).toMatchObject({ code: 7, stdout: '' });
      expect(refused.stderr).toContain(sshd.fingerprint());
      const pasted = await world.run(hinted(refused.stderr));
      expect(pasted, pasted.stderr).toMatchObject({ code: 0 });
      told.push(hinted(refused.stderr).at(-1) ?? '');
    }
    expect(told).toEqual([`127.0.0.1:${first.port}`, 'jumped']);
    expect(storeOf(world).split('\n')).toEqual([first.knownHostsLine(), second.knownHostsLine()]);
  });

  test('an ad-hoc tunnel is named too, for its own key and for that of its jump host', async () => {
    await using first = await startSshd();
    await using second = await startSshd();
    await using world = createWorld();
    configure(world, first, second);
    const login = ['-J', 'db', '-i', second.identity, '-p', `${second.port}`, `${second.user}@127.0.0.1`];
    const up = await world.run(['up', '-L', 'auto:127.0.0.1:9', '--name', 'mine', ...login]);
    expect(up.code, up.stderr).toBe(7);
    expect(up.stderr).toContain(first.fingerprint());
    expect(hinted(up.stderr)).toEqual(['trust', 'mine']);
    const pasted = await world.run([...hinted(up.stderr), '--yes']);
    expect(pasted, pasted.stderr).toMatchObject({ code: 0 });
    await world.until('mine', ({ state }) => state === 'up');
  });
});
