// What may stand at the cursor, from the table of commands.
import { describe, expect, test } from 'vitest';
import { atCursor } from '../../src/cli/at-cursor.ts';
import { globalOptions, type CommandSpec } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';

const at = (...line: readonly string[]): ReturnType<typeof atCursor> => atCursor(line, commands);
const words = (...line: readonly string[]): string[] => at(...line).words.map(([word]) => word);

describe('of the table', () => {
  test('every command is offered, first and behind help', () => {
    const names = commands.map(({ name }) => name);
    expect(words('')).toEqual(names);
    expect(words('--json', '-c', 'status', '')).toEqual(names);
    expect(words('help', '')).toEqual(names);
  });

  test.each(commands.map((command) => [command.name, command] as const))(
    '%s has all its options',
    (name, command) => {
      const meant = [...command.options, ...globalOptions].map((option) => `--${option.name}`);
      expect(words(name, '-').filter((word) => word !== '--no-color')).toEqual(meant);
      expect(words(name, '--', '-')).not.toContain('--json');
    },
  );

  test.each(
    commands
      .filter(({ words: synopsis }) => synopsis !== '')
      .map((command) => [command.name, command] as const),
  )(
    '%s has something to offer for its words, or says that it has not',
    (name, { words: synopsis, stands = {} }) => {
      const { words: own, kinds } = at(name, '');
      const first = /[A-Z]+/.exec(synopsis)?.[0] ?? '';
      expect(own.length + kinds.length > 0 || stands[first] === 'nothing', synopsis).toBe(true);
    },
  );
});

describe('by the synopsis of a command', () => {
  const command = (synopsis: string, more: Partial<CommandSpec> = {}): CommandSpec => ({
    name: 'x',
    words: synopsis,
    takes: { least: 0 },
    about: '',
    options: [],
    examples: [],
    ...more,
  });
  const of = (spec: CommandSpec, ...line: readonly string[]): (string | undefined)[] => {
    const { words: own, kinds } = atCursor(['x', ...line], [spec]);
    return [...own.map(([word]) => word), ...kinds.map((kind) => `<${kind}>`)];
  };

  test.each([
    ['[SEL…]', [''], ['<selector>']],
    ['[SEL…]', ['a', 'b', ''], ['<selector>']],
    ['NAME', [''], ['<tunnel>']],
    ['NAME', ['a', ''], []],
    ['[SEL…|HOST…]', ['a', ''], ['<selector>', '<host>']],
    ['[list|forget HOST…|export]', [''], ['list', 'forget', 'export']],
    ['[list|forget HOST…|export]', ['forget', 'a', ''], ['<host>']],
    ['[list|forget HOST…|export]', ['export', ''], []],
    ['set NAME [FILE] | list', ['set', 'a', ''], ['<file>']],
    ['SEL… -- CMD…', [''], ['<selector>']],
    ['SEL… -- CMD…', ['a', '--', ''], ['<file>']],
    ['', [''], []],
  ])('%s behind %j', (synopsis, line, found) => {
    expect(of(command(synopsis), ...line)).toEqual(found);
  });

  const options = [
    { name: 'tag', value: 'TAG[,TAG]', about: '' },
    { name: 'wait', value: 'DURATION', about: '' },
  ];

  test.each([
    [['--tag', ''], ['<tag>']],
    [['--tag=a'], ['<tag>']],
    [['--wait', ''], []],
    [['--tag', 'a', ''], ['<selector>']],
    [['--tag=a', ''], ['<selector>']],
    [['-L', ''], []],
    [['-fNL', ''], []],
    [['-L1:a:2', ''], ['<selector>']],
    [['-i', ''], ['<file>']],
    [['-J', ''], ['<host>']],
  ])('values of options, behind %j', (line, found) => {
    expect(of(command('SEL…', { ssh: true, options }), ...line)).toEqual(found);
  });

  test('the config that is named on the line is the one that is read', () => {
    for (const line of [['-c', 'F'], ['--config', 'F'], ['--config=F']])
      expect(atCursor([...line, 'x', ''], [command('SEL')]).config).toBe('F');
  });
});
