// The command line: what is taken, and how what is not taken is told.
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readPlainStatus } from '../../src/cli/fast.ts';
import { parseCommandLine } from '../../src/cli/parse.ts';
import { commands } from '../../src/cli/commands.ts';
import { commandHelp, mainHelp } from '../../src/cli/help.ts';
import { TunnelError } from '../../src/errors.ts';
import { plain } from '../../src/render/color.ts';
import { hintOf } from '../helpers/hint.ts';

const parse = (line: string): ReturnType<typeof parseCommandLine> =>
  parseCommandLine(line.split(' ').filter(Boolean));

function faultOf(line: string): TunnelError {
  try {
    const { args } = parse(line);
    args.durationMs('timeout', 0);
  } catch (thrown) {
    if (thrown instanceof TunnelError) return thrown;
    throw thrown;
  }
  throw new Error(`${line} was taken`);
}

describe('the command line', () => {
  test('gives a command its words, options and globals', () => {
    const { command, args, globals, wants } = parse(
      '-c t.yaml up db tag:demo --timeout 5s --accept-new --json',
    );
    expect(command?.name).toBe('up');
    expect(wants).toBe('run');
    expect(args.words).toEqual(['db', 'tag:demo']);
    expect(args.durationMs('timeout', 1)).toBe(5000);
    expect(args.durationMs('drain', 7)).toBe(7);
    expect(args.flag('accept-new')).toBe(true);
    expect(args.flag('foreground')).toBe(false);
    expect(globals).toEqual({ config: 't.yaml', json: true, quiet: false, verbose: false, color: undefined });
  });

  test('leaves names that look like numbers as they are', () => {
    expect(parse('up 007 1e3').args.words).toEqual(['007', '1e3']);
  });

  test('knows color from no color from nothing said', () => {
    expect(parse('status').globals.color).toBeUndefined();
    expect(parse('status --color').globals.color).toBe(true);
    expect(parse('status --no-color').globals.color).toBe(false);
  });

  test('takes what follows -- for words, whatever it looks like', () => {
    expect(parse('status db -- web -h').args.words).toEqual(['db', 'web', '-h']);
    expect(faultOf('-- up').message).toContain('a command must come before --');
    expect(faultOf('check -- up').message).toBe('tunnel check takes no words, but got up');
  });

  test.each([
    ['frobnicate', /^there is no command frobnicate$/, 'tunnel --help'],
    ['statsu', /^there is no command statsu$/, 'tunnel status    # did you mean that?'],
    [
      'up --acept-new',
      /^tunnel up has no option --acept-new$/,
      'tunnel up --accept-new    # did you mean that?',
    ],
    ['up --acept-new db web', /acept/, 'tunnel up --accept-new db web    # did you mean that?'],
    ['up --tiemout=5s db', /tiemout/, "tunnel up '--timeout=5s' db    # did you mean that?"],
    ['up -Z', /^tunnel up has no option -Z$/, 'tunnel up --help'],
    ['up --timeout', /timeout/, 'tunnel up --help'],
    [
      'up --timeout 30',
      /^--timeout needs a duration with a unit, not 30$/,
      'tunnel up --timeout 30s    # 250ms',
    ],
    ['up --timeout=30 db', /not 30$/, "tunnel up '--timeout=30s' db    # 250ms"],
    ['check nonsense', /^tunnel check takes no words, but got nonsense$/, 'tunnel check --help'],
    ['check non sense', /^tunnel check takes no words, but got non and sense$/, 'tunnel check --help'],
    ['why', /^tunnel why needs NAME$/, 'tunnel why --help'],
    ['why a b', /^tunnel why cannot use b$/, 'tunnel why --help'],
    ['status -c', /-c needs a value/, 'tunnel status --help'],
  ])('refuses %s with a hint', (line, message, hint) => {
    const fault = faultOf(line);
    expect(fault.code).toBe('USAGE');
    expect(fault.message).toMatch(message);
    expect(hintOf(fault)).toContain(hint);
  });

  test.each(['--timeout 3s up db', '--timeout=3s up db', '--accept-new --timeout 3s --json up db'])(
    'takes options before the command: %s',
    (line) => {
      const { command, args } = parse(line);
      expect(command?.name).toBe('up');
      expect(args.words).toEqual(['db']);
      expect(args.durationMs('timeout', 0)).toBe(3000);
    },
  );

  test('takes an option that only another command has for nothing but that', () => {
    expect(parse('-n 5 logs db')).toMatchObject({ command: { name: 'logs' }, args: { words: ['db'] } });
    expect(faultOf('--lines 5 up').message).toBe('tunnel up has no option --lines');
  });

  test.each([
    ['ls', 'tunnel status'],
    ['list --json', 'tunnel status --json'],
    ['ps', 'tunnel status'],
    ['start db tag:x', 'tunnel up db tag:x'],
    ['--quiet stop db', 'tunnel --quiet down db'],
    ['validate', 'tunnel check'],
    ['version', 'tunnel --version'],
    ['config', 'tunnel show    # what it comes to; tunnel check finds its faults'],
    ['edit', '${EDITOR:-vi} ~/t.yaml'],
    ['strat db', 'tunnel up db    # did you mean that?'],
    ['lsit', 'tunnel status    # did you mean that?'],
    ['statsu --json', 'tunnel status --json    # did you mean that?'],
    ['-c my.yaml log db -n 5', 'tunnel -c my.yaml logs db -n 5    # did you mean that?'],
  ])('names the command for a habit of elsewhere: %s', (line, hint) => {
    const words = line.split(' ');
    const caught = (): unknown => parseCommandLine(words, () => '~/t.yaml');
    expect(caught).toThrow(expect.objectContaining({ code: 'USAGE', hint }));
  });

  test.each([
    ['-L 5432:db:5432 me@bastion', 'tunnel up -L 5432:db:5432 me@bastion'],
    ['-N -L 127.0.0.1:6000:db:5432 -p 22 bastion', 'tunnel up -L 127.0.0.1:6000:db:5432 -p 22 bastion'],
    ['-NfL6000:db:5432 bastion', 'tunnel up -L6000:db:5432 bastion'],
    ['bastion -L 80:[::1]:80', "tunnel up -L '80:[::1]:80' bastion"],
    ['5432:db:5432 me@bastion', 'tunnel up -L 5432:db:5432 me@bastion'],
    ['5432:db:5432', 'tunnel up -L 5432:db:5432 user@host'],
    ['up 5432:db:5432 me@bastion', 'tunnel up -L 5432:db:5432 me@bastion'],
    ['-D 1080 bastion', 'tunnel up -D 1080 bastion'],
    ['-R 8080:localhost:3000 bastion', 'tunnel up -R 8080:localhost:3000 bastion'],
  ])('names up for a command line of ssh: %s', (line, hint) => {
    const fault = faultOf(line);
    expect(hintOf(fault)).toBe(hint);
    expect(fault.code).toBe('USAGE');
    expect(fault.message).toMatch(/^(-[LRD]|5432:db:5432) is for ssh: /);
  });

  test('understands --help, help COMMAND and --version', () => {
    expect(parse('--version').wants).toBe('version');
    expect(parse('up --help')).toMatchObject({ wants: 'help', command: { name: 'up' } });
    expect(parse('help up')).toMatchObject({ wants: 'help', command: { name: 'up' } });
    for (const line of ['help', 'help help', 'help --', '--help'])
      expect(parse(line)).toMatchObject({ wants: 'help', command: null });
  });
});

describe('help', () => {
  test('and code know the same commands', () => {
    const files = readdirSync(resolve(import.meta.dirname, '../../src/cli/commands'));
    expect(files.sort()).toEqual(commands.map(({ name }) => `${name}.ts`).sort());
  });

  test.each(commands.map(({ name }) => name))('%s stands beside its code', async (name) => {
    const command = (await import(`../../src/cli/commands/${name}.ts`)) as { spec: unknown; run: unknown };
    expect(command.spec).toMatchObject({ name });
    expect(command.run).toBeTypeOf('function');
  });

  test('names every command', () => {
    for (const { name } of commands) expect(mainHelp(plain)).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
  });

  test.each(commands.map((command) => [command.name, command] as const))(
    'of %s has examples that the parser takes, and every option',
    (_, command) => {
      const text = commandHelp(command, plain);
      expect(command.examples.length).toBeGreaterThan(0);
      for (const { name } of command.options) expect(text).toContain(`--${name}`);
      for (const [example] of command.examples) {
        const ours = example.slice(example.indexOf('tunnel '));
        const words = (ours.split(/ [|>&]/)[0] ?? '').split(' ').slice(1);
        expect(parseCommandLine(words).command?.name).toBe(command.name);
      }
      for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(110);
    },
  );
});

test.each([
  ['up', 'Without SEL: every tunnel with autostart: true.'],
  ['restart', 'Without SEL: what is wanted, else what has autostart.'],
  ['wait', 'Without SEL: what is wanted, else what has autostart.'],
  ['exec', 'and one is needed.'],
  ['down', 'Without SEL: all tunnels.'],
])('the help of %s says what no SEL means there, and nothing else', (name, sentence) => {
  const command = commands.find((each) => each.name === name);
  const text = command === undefined ? '' : commandHelp(command, plain);
  expect(text).toContain(sentence);
  expect(text.match(/Without SEL|none means/g) ?? []).toHaveLength(name === 'exec' ? 0 : 1);
  if (name === 'up') expect(text).toMatch(/^ {7}tunnel up -L … HOST \[OPTIONS\]$/m);
  if (name === 'exec') expect(text).toMatch(/^ {7}tunnel exec -L … HOST -- CMD… \[OPTIONS\]$/m);
});

describe('the fast way', () => {
  test('takes a plain status only', () => {
    expect(readPlainStatus(['-c', 'x', 'status', '--json', 'db'])).toEqual({
      config: 'x',
      json: true,
      quiet: false,
      check: false,
      color: undefined,
      selectors: ['db'],
    });
    expect(readPlainStatus(['status', '--check', '--config=x'])).toMatchObject({ check: true, config: 'x' });
    for (const line of ['status --watch', 'status --all', 'status --help', 'up', '--json', 'status -c'])
      expect(readPlainStatus(line.split(' ')), line).toBeNull();
  });
});
