// The command line: what is taken, and how what is not taken is told.
import { describe, expect, test } from 'vitest';
import { readPlainStatus } from '../../src/cli/fast.ts';
import { parseCommandLine } from '../../src/cli/parse.ts';
import { runs } from '../../src/cli/runs.ts';
import { commands } from '../../src/cli/usage.ts';
import { commandHelp, mainHelp } from '../../src/cli/help.ts';
import { TunnelError } from '../../src/errors.ts';
import { plain } from '../../src/render/color.ts';

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
    expect(faultOf('-- up').message).toContain('no command before --');
    expect(faultOf('check -- up').message).toContain('up is too much');
  });

  test.each([
    ['frobnicate', /no such command/, 'tunnel --help'],
    ['statsu', /no such command/, 'tunnel status    # did you mean that?'],
    ['up --acept-new', /no such option --acept-new/, 'tunnel up --accept-new    # did you mean that?'],
    ['up -Z', /no such option -Z/, 'tunnel up --help'],
    ['up --timeout', /timeout/, 'tunnel up --help'],
    ['up --timeout 30', /it needs a unit/, 'tunnel up --timeout 30s'],
    ['check nonsense', /nonsense is too much/, 'tunnel check --help'],
    ['status -c', /-c needs a value/, 'tunnel status --help'],
  ])('refuses %s with a hint', (line, message, hint) => {
    const fault = faultOf(line);
    expect(fault.code).toBe('USAGE');
    expect(fault.message).toMatch(message);
    expect(fault.hint).toContain(hint);
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
    expect(Object.keys(runs).sort()).toEqual(commands.map(({ name }) => name).sort());
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
