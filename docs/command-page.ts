// docs/commands.md, made from the table of commands as --help and the man page are. The build writes it (build.mjs), a test compares. Pure.
import { globalOptions, selectorHelp, type CommandSpec, type OptionSpec } from '../src/cli/command.ts';
import { commands } from '../src/cli/commands.ts';

const introduction = `# Commands

Made from the table of commands, as \`--help\` and the man page \`tunnel(1)\` are. Exit codes stand in the
[README](../README.md#exit-codes), what to do about an error code in [troubleshooting.md](troubleshooting.md).`;

/** As prettier leaves it. */
export function commandsPage(): string {
  const parts = [
    introduction,
    text(selectorHelp),
    commands.map(({ name }) => `[${name}](#tunnel-${name})`).join(' · '),
    '## Options for every command',
    optionList(globalOptions),
    ...commands.map(commandPart),
  ];
  return `${parts.join('\n\n')}\n`;
}

function commandPart({ name, words, about, more = [], options, examples }: CommandSpec): string {
  const lines = examples.map(([line, said]) => (said === '' ? line : `${line} # ${said}`));
  return [
    `## tunnel ${name}`,
    `\`tunnel ${name}${words === '' ? '' : ` ${words}`}\`${options.length > 0 ? ' and options' : ''}: ${text(about)}.`,
    ...(more.length === 0 ? [] : [text(more.join('\n'))]),
    ...(options.length === 0 ? [] : [optionList(options)]),
    ...(lines.length === 0 ? [] : [['```sh', ...lines, '```'].join('\n')]),
  ].join('\n\n');
}

const optionList = (options: readonly OptionSpec[]): string =>
  options.map((option) => `- ${optionWords(option)}: ${text(option.about)}`).join('\n');

function optionWords({ name, alias, value, refusable }: OptionSpec): string {
  const of = value === undefined ? '' : ` ${value}`;
  const all = [`--${name}${of}`, ...(alias === undefined ? [] : [`-${alias}${of}`])];
  return [...all, ...(refusable === true ? [`--no-${name}`] : [])].map((word) => `\`${word}\``).join(', ');
}

/** What stands there is what is read, but for words between backticks. */
const text = (written: string): string =>
  written.replaceAll(/`[^`]*`|[*_<[\]]/g, (found) => (found.startsWith('`') ? found : `\\${found}`));
