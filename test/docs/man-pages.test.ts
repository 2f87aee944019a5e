// The man pages say what the program takes, no more and no less, and every reader of such pages takes them without a word.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { manPages } from '../../docs/man-pages.ts';
import { globalOptions } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';
import { commandHelp, mainHelp } from '../../src/cli/help.ts';
import { knownKeys } from '../../src/config/schema.ts';
import { errorTable } from '../../src/errors.ts';
import { plain } from '../../src/render/color.ts';

const top = resolve(import.meta.dirname, '../..');
const pages = manPages();
const names = Object.keys(pages);

const escapes: Readonly<Record<string, string>> = { ti: '~', ha: '^', ga: '`', aq: "'", dq: '"', '->': '→' };

/** A page as it is read, without fonts and escapes. */
const read = (name: string): string =>
  (pages[name] ?? '')
    .replaceAll(/\\f[BIR]|\\&/g, '')
    .replaceAll(/\\\((..)/g, (_, of: string) => escapes[of] ?? '?')
    .replaceAll('\\-', '-')
    .replaceAll('\\e', '\\');

/** The part of tunnel(1) under a command's heading. */
function partOf(command: string): string {
  const [, part = ''] = read('tunnel.1').split(new RegExp(`^\\.SS "tunnel ${command}(?=[" ])`, 'm'));
  return part.split(/^\.S[SH] /m)[0] ?? '';
}

const optionsIn = (text: string): string[] => [
  ...new Set([...text.matchAll(/(?<![\w-])--([a-z][a-z-]*)/g)].map(([, name = '']) => name)),
];

describe('tunnel(1)', () => {
  test.each(commands.map((command) => [command.name, command] as const))(
    '%s has its part',
    (name, command) => {
      const part = partOf(name);
      const headings = [...part.matchAll(/^\.TP\n(.*)$/gm)].flatMap(([, line = '']) => optionsIn(line));
      expect(headings).toEqual(command.options.map((option) => option.name));
      for (const [example] of command.examples) expect(part).toContain(example.replaceAll('…', '...'));
      const known = [...command.options, ...globalOptions].map((option) => option.name);
      expect(optionsIn(commandHelp(command, plain)).filter((option) => !optionsOfAll.has(option))).toEqual(
        [],
      );
      expect(known.filter((option) => !commandHelp(command, plain).includes(`--${option}`))).toEqual([]);
    },
  );

  test('the options of every command, and every exit code, are there', () => {
    const page = read('tunnel.1');
    const all = page.split(/^\.SH OPTIONS FOR EVERY COMMAND$/m)[1]?.split(/^\.SH /m)[0] ?? '';
    expect(optionsIn(all).filter((option) => option !== 'no-color')).toEqual(
      globalOptions.map((option) => option.name),
    );
    const exits = page.split(/^\.SH EXIT STATUS$/m)[1]?.split(/^\.SH /m)[0] ?? '';
    for (const { exit } of Object.values(errorTable)) expect(exits).toMatch(new RegExp(`^${exit}$`, 'm'));
  });
});

const optionsOfAll = new Set([
  'no-color',
  ...[...globalOptions, ...commands.flatMap(({ options }) => options)].map(({ name }) => name),
]);

test('tunnels.yaml(5) has every key', () => {
  const tags = [...read('tunnels.yaml.5').matchAll(/^\.TP\n([a-z_]+)/gm)].map(([, key]) => key);
  const keys = [
    ...knownKeys.file,
    ...knownKeys.tunnel,
    ...knownKeys.forward,
    'interval',
    'count',
    'initial',
    'max',
    'up',
    'down',
    'needs_you',
  ];
  expect(new Set<string | undefined>(tags)).toEqual(new Set<string | undefined>(keys));
});

describe('README.md', () => {
  const readme = readFileSync(resolve(top, 'README.md'), 'utf8');
  const table = readme.split('\n## Commands\n')[1]?.split('\n### ')[0] ?? '';
  const rows = table.split('\n').filter((line) => line.startsWith('|'));

  test.each(commands.map((command) => [command.name, command] as const))(
    'has a row for %s, with no option that it does not take',
    (name, command) => {
      const own = rows.filter((row) =>
        new RegExp(`\`(?:tunnel )?${name}[ \`]`).test(row.split(' | ')[0] ?? ''),
      );
      expect(own.length, name).toBeGreaterThan(0);
      const [row = ''] = own;
      const [, commandsOfRow = ''] = row.split('|');
      if ((commandsOfRow.match(/`/g)?.length ?? 0) > 2) return; // several commands share it
      const known = [...command.options, ...globalOptions].map((option) => option.name);
      expect(optionsIn(row).filter((option) => !known.includes(option))).toEqual([]);
    },
  );

  test('names no option that no command takes', () => {
    const lines = readme.split('\n').filter((line) => /\btunnel [a-z]+/.test(line));
    const spans = lines.flatMap((line) =>
      [...line.matchAll(/`(tunnel [^`]*)`/g)].map(([, span = '']) => span),
    );
    expect(spans.flatMap(optionsIn).filter((option) => !optionsOfAll.has(option))).toEqual([]);
  });

  test('lists every command in --help too', () => {
    for (const { name } of commands) expect(mainHelp(plain)).toMatch(new RegExp(`^  ${name}( |$)`, 'm'));
  });
});

describe('as a reader takes them', () => {
  const { man } = JSON.parse(readFileSync(resolve(top, 'package.json'), 'utf8')) as {
    man: readonly string[];
  };

  test('the package ships what is made today', () => {
    expect(man.map((path) => basename(path))).toEqual(names);
    for (const path of man)
      expect(readFileSync(resolve(top, path), 'utf8') === pages[basename(path)], 'node build.mjs').toBe(true);
  });

  const readers: readonly (readonly [program: string, ...args: string[]])[] = [
    ['groff', '-ww', '-man', '-Tutf8', '-z'],
    // No date: a page of the same text is the same page. A line a few letters too long is a matter of style.
    ['mandoc', '-T', 'lint', '-W', 'warning'],
    ['man', '--warnings', '-P', 'cat', '-l'],
  ];

  for (const [program, ...args] of readers) {
    const missing = spawnSync(program, ['--version']).error !== undefined;
    test.skipIf(missing)(
      `by ${program}, without a word${missing ? `: no ${program} on this machine` : ''}`,
      () => {
        for (const path of man) {
          const { status, stdout, stderr } = spawnSync(program, [...args, resolve(top, path)], {
            encoding: 'utf8',
          });
          const said = program === 'mandoc' ? stdout + stderr : stderr;
          const faults = said.split('\n').filter((line) => line !== '' && !line.includes('missing date'));
          expect({ path, faults }).toEqual({ path, faults: [] });
          if (program !== 'mandoc') expect(status).toBe(0);
          if (program === 'man') expect(stdout).toContain('SEE ALSO');
        }
      },
    );
  }
});
