// docs/commands.md says what the table of commands says today, and each command has its section there.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { commandsPage } from '../../docs/command-page.ts';
import { globalOptions } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';

const written = readFileSync(resolve(import.meta.dirname, '../../docs/commands.md'), 'utf8');

test('docs/commands.md is made of the table of commands as it is', () => {
  expect(written === commandsPage(), 'node build.mjs').toBe(true);
});

test.each(commands.map((command) => [command.name, command] as const))(
  'it has a section for %s, with its options and examples and no others',
  (name, { options, examples }) => {
    const [, section = ''] = written.split(new RegExp(`^## tunnel ${name}$`, 'm'));
    const own = section.split(/^## /m)[0] ?? '';
    expect([...own.matchAll(/^- `--([a-z-]+)/gm)].map(([, option]) => option)).toEqual(
      options.map((option) => option.name),
    );
    for (const [line] of examples) expect(own).toContain(line);
  },
);

test('it has the options of every command', () => {
  const [, section = ''] = written.split('\n## Options for every command\n');
  for (const { name } of globalOptions) expect(section.split('\n## ')[0]).toContain(`\`--${name}`);
});
