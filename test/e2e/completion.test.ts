// Completion in the real bash, zsh and fish, each as a person has it: the script that `tunnel completion` prints, and the Tab key.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { freePort } from '../helpers/ports.ts';
import { openTerminal, tmuxMissing, type Terminal } from '../helpers/tmux.ts';
import { built, createWorld, finished, type World } from '../helpers/world.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

/** Why a test with this shell is skipped; null where it is there. */
function missing(shell: Shell): string | null {
  try {
    execFileSync(shell, ['-c', 'true'], { stdio: 'ignore' });
    return shell === 'fish' ? null : tmuxMissing();
  } catch {
    return `no ${shell} on this machine`;
  }
}

/** A world with `tunnel` on its PATH, a config, an ssh_config and one host key. */
async function configured(): Promise<World> {
  const world = createWorld();
  const bin = join(world.folder, 'bin');
  mkdirSync(bin);
  symlinkSync(built, join(bin, 'tunnel'));
  world.env['PATH'] = `${bin}:${world.env['PATH']}`;
  world.config(`hosts:
  box: { hostname: nowhere.invalid, user: me }
tunnels:
  database: { host: box, local: ${await freePort()}, remote: 5432, lazy: true, tags: [work, data] }
  dashboard:
    host: box
    local: ${await freePort()}
    remote: 3000
    tags:
      - work
`);
  const ssh = join(world.folder, 'home', '.ssh');
  mkdirSync(ssh, { mode: 0o700 });
  writeFileSync(join(ssh, 'config'), 'Host bastion edge-*\nHost "$(touch${IFS}caught)"\n');
  writeFileSync(join(world.folder, 'known_hosts'), 'katie.example.org ssh-ed25519 AAAA\n', { mode: 0o600 });
  return world;
}

/** What `__complete` prints for a line, as word and description. */
async function candidates(world: World, shell: Shell, ...line: readonly string[]): Promise<string[][]> {
  const ran = await world.run(['__complete', shell, ...line]);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  return ran.stdout.split('\n').flatMap((each) => (each === '' ? [] : [each.split('\t')]));
}

const words = (found: readonly string[][]): string[] => found.map(([word = '']) => word);

describe('what stands at the cursor', () => {
  test('commands and options are those of the table', async () => {
    await using world = await configured();
    expect(await candidates(world, 'zsh', '')).toEqual(commands.map(({ name, about }) => [name, about]));
    const found = words(await candidates(world, 'zsh', 'status', '-'));
    expect(found).toEqual(expect.arrayContaining(['--watch', '--config', '--color', '--no-color']));
  });

  test('names come with their states, tags and hosts with where they are from', async () => {
    await using world = await configured();
    expect((await world.run(['up', 'database'])).code).toBe(0);
    expect(await candidates(world, 'fish', 'down', '')).toEqual([
      ['database', 'asleep'],
      ['dashboard', 'down'],
      ['tag:work', '2 tunnels'],
      ['tag:data', '1 tunnel'],
    ]);
    expect(words(await candidates(world, 'zsh', 'why', 'database', ''))).toEqual([]);
    expect(words(await candidates(world, 'zsh', '-c', 'x', '--json', 'status', 'database', ''))).toEqual([]);
    expect(await candidates(world, 'zsh', 'add', 'new', '-L', '1:a:2', 'me@')).toEqual([
      ['me@box', 'hosts:'],
      ['me@bastion', 'ssh_config'],
    ]);
    expect(words(await candidates(world, 'zsh', 'add', ''))).toEqual([]);
    expect(words(await candidates(world, 'zsh', 'hosts', 'forget', ''))).toEqual(['katie.example.org']);
    expect(words(await candidates(world, 'zsh', 'secret', 'set', 'box', ''))).toEqual([
      'password',
      'passphrase',
      'totp',
    ]);
    expect(words(await candidates(world, 'zsh', 'add', '--tag='))).toEqual(['--tag=work', '--tag=data']);
    expect(await candidates(world, 'zsh', 'import', '')).toEqual([[':files']]);
  });

  test('a tunnel that is gone from the file is completed from what is wanted', async () => {
    await using world = await configured();
    expect((await world.run(['up', 'database'])).code).toBe(0);
    world.config('tunnels:\n  other: { host: box, local: 1, remote: 1 }\n');
    for (const shell of shells)
      expect(words(await candidates(world, shell, 'down', '')), shell).toEqual(
        expect.arrayContaining(['other', 'database']),
      );
  });

  test('a supervisor that does not answer costs the states, not the names', async () => {
    await using world = await configured();
    expect((await world.run(['up', 'database'])).code).toBe(0);
    const { pid } = (await world.status()).supervisor;
    process.kill(pid ?? 0, 'SIGSTOP');
    try {
      expect(await candidates(world, 'zsh', 'why', '')).toEqual([['database'], ['dashboard']]);
    } finally {
      process.kill(pid ?? 0, 'SIGCONT');
    }
  });

  test('a broken file gives the names that can be made out, and nothing is said, started or asked', async () => {
    await using world = await configured();
    const entries = (): string[] =>
      readdirSync(world.folder)
        .filter((name) => name !== 'cache')
        .sort();
    const before = entries();
    world.config(
      'tunnels:\n  good: { host: box, tags: [a }\n  : [\n\tbad\n  "also-good":\n    nonsense\n  b$x: 1\n',
    );
    expect(words(await candidates(world, 'zsh', 'up', ''))).toEqual(['good', 'also-good', 'tag:a']);
    world.config('\0\u0001{{{{');
    expect(await candidates(world, 'zsh', 'up', '')).toEqual([]);
    expect(entries()).toEqual(before);
  });

  test('a project file that nobody allowed is read for its names alone', async () => {
    await using world = await configured();
    const { TUNNEL_HOME: _, ...env } = world.env;
    const project = join(world.folder, 'project');
    mkdirSync(project);
    writeFileSync(
      join(project, 'tunnels.yaml'),
      `tunnels:\n  theirs: { host: h, proxy_command: "touch ${join(project, 'ran')}", local: 1, remote: 1 }\n`,
    );
    const child = execFileSync(process.execPath, [built, '__complete', 'zsh', 'up', ''], {
      cwd: project,
      env,
    });
    expect(child.toString()).toBe('theirs\tdown\n');
    expect(existsSync(join(project, 'ran'))).toBe(false);
  });
});

describe.each(['bash', 'zsh'] as const)('in %s', (shell) => {
  const why = missing(shell);
  test.skipIf(why !== null)(
    `Tab completes commands, names, tags, options and files${why === null ? '' : `: ${why}`}`,
    async () => {
      await using world = await configured();
      writeFileSync(join(world.folder, 'other file.yaml'), '');
      using terminal = openTerminal(world.env);
      await begin(terminal, shell);
      await tab(terminal, 'tunnel comp', 'tunnel completion ');
      await tab(
        terminal,
        'tunnel down da',
        'tunnel down da',
        ...(shell === 'bash' ? ['dashboard  database'] : ['database  -- down']),
      );
      await tab(terminal, 'tunnel down dat', 'tunnel down database ');
      await tab(terminal, 'tunnel down tag:wo', 'tunnel down tag:work ');
      await tab(terminal, 'tunnel status --prob', 'tunnel status --problems ');
      await tab(terminal, 'tunnel -c other', 'tunnel -c other\\ file.yaml ');
      await tab(terminal, 'tunnel trust me@bas', 'tunnel trust me@bastion ');
      await tab(terminal, 'tunnel add x --tag=da', 'tunnel add x --tag=data ');
    },
  );
});

async function begin(terminal: Terminal, shell: 'bash' | 'zsh'): Promise<void> {
  terminal.type(shell === 'bash' ? 'bash --norc --noprofile' : 'zsh -f');
  terminal.key('Enter');
  const prepare = {
    bash: 'bind "set show-all-if-ambiguous on"',
    zsh: 'autoload -Uz compinit; compinit -u -d $HOME/dump',
  };
  terminal.type(prepare[shell]);
  terminal.key('Enter');
  terminal.type(`cd $TUNNEL_HOME; PS1='> '; source <(tunnel completion ${shell}); clear; echo re''ady`);
  terminal.key('Enter');
  await terminal.until(/^ready\n> ?$/m);
}

const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** Types a line and Tab; waits for the line that comes of it and for what is shown beside it, then wipes it out. */
async function tab(
  terminal: Terminal,
  line: string,
  becomes: string,
  ...shown: readonly string[]
): Promise<void> {
  terminal.type(line);
  terminal.key('Tab');
  for (const each of shown) await terminal.until(new RegExp(literal(each)));
  terminal.type('X');
  await terminal.until(new RegExp(`^> ${literal(becomes)}X`, 'm'));
  terminal.key('C-u');
}

const why = missing('fish');
test.skipIf(why !== null)(`in fish, complete -C${why === null ? '' : `: ${why}`}`, async () => {
  await using world = await configured();
  writeFileSync(join(world.folder, 'other.yaml'), '');
  const lines = async (typed: string): Promise<string[]> => {
    const script = `tunnel completion fish | source; complete -C '${typed}'`;
    const env = { ...world.env, HOME: join(world.folder, 'home') };
    const ran = await finished(spawn('fish', ['--no-config', '-c', script], { env, cwd: world.folder }));
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    return ran.stdout.split('\n').filter((line) => line !== '');
  };
  expect(await lines('tunnel comp')).toEqual([
    'completion\tprint a script that completes commands, options and names in your shell',
  ]);
  expect(await lines('tunnel down da')).toEqual(['database\tdown', 'dashboard\tdown']);
  expect(await lines('tunnel down tag:wo')).toEqual(['tag:work\t2 tunnels']);
  expect(await lines('tunnel status --prob')).toEqual([expect.stringMatching(/^--problems\t/)]);
  expect(await lines('tunnel -c oth')).toEqual(['other.yaml']);
  expect(await lines('tunnel check --config=oth')).toEqual(['--config=other.yaml']);
});
