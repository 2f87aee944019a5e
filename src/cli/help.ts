// --help, printed from the table of commands: no parser needed, so it is there at once.
import { globalOptions, selectorHelp, type CommandSpec, type OptionSpec } from './command.ts';
import type { Paint } from '../render/color.ts';
import { renderTable } from '../render/table.ts';
import { commands } from './commands.ts';

const firstExamples: CommandSpec['examples'] = [
  ['tunnel init', 'write a first config'],
  ['tunnel up', 'bring everything up; it stays up'],
  ['tunnel status', 'what is up, what is not, and why'],
  ['tunnel down', 'and gone'],
  ['tunnel demo', 'see it work, without a server of your own'],
];

/** The help of the whole program. */
export function mainHelp(paint: Paint): string {
  return [
    'SSH tunnels from one YAML file that stay up.',
    '',
    `${paint.bold('Usage:')} tunnel COMMAND [OPTIONS]`,
    '',
    ...section(
      'Commands:',
      commands.map(({ name, words, about }) => [words.length > 16 ? name : `${name} ${words}`.trim(), about]),
      paint,
    ),
    ...section('Options for every command:', globalOptions.map(optionLine), paint),
    ...section('Examples:', firstExamples, paint),
    `${selectorHelp} What a command means without one, its --help says.`,
    'tunnel COMMAND --help tells the options of a command.',
  ].join('\n');
}

/** The help of one command. */
export function commandHelp(command: CommandSpec, paint: Paint): string {
  const synopsis = ['tunnel', command.name, command.words, ...command.options.map(optionSynopsis)];
  return [
    `${paint.bold('Usage:')} ${wrapped(synopsis.filter(Boolean), 7)}`,
    ...(command.otherWords === undefined
      ? []
      : [`       tunnel ${command.name} ${command.otherWords} [OPTIONS]`]),
    '',
    `${sentence(command.about)}${(command.more ?? []).map((more) => `\n${more}`).join('')}`,
    ...(command.words.includes('SEL') ? selectorLines(command) : []),
    '',
    ...section('Options:', command.options.map(optionLine), paint),
    ...section('Options for every command:', globalOptions.map(optionLine), paint),
    ...section('Examples:', command.examples, paint),
  ]
    .join('\n')
    .trimEnd();
}

function selectorLines({ without = 'all tunnels' }: CommandSpec): readonly string[] {
  if (without === null) return [selectorHelp.replace('.', ', and one is needed.')];
  const whole = `${selectorHelp} Without SEL: ${without}.`;
  return whole.length <= widest ? [whole] : [selectorHelp, `Without SEL: ${without}.`];
}

const widest = 100;

/** Words in lines, those behind the first indented. */
function wrapped(words: readonly string[], indent: number): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && indent + last.length + word.length < widest)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function section(
  title: string,
  lines: readonly (readonly [string, string])[],
  paint: Paint,
): readonly string[] {
  if (lines.length === 0) return [];
  const rows = lines.map(([left, right]) => ({ cells: [`  ${left}`, { text: right, paint: paint.dim }] }));
  return [paint.bold(title), ...renderTable(null, rows, paint), ''];
}

const optionSynopsis = (option: OptionSpec): string => `[--${withValue(option)}]`;

function optionLine(option: OptionSpec): readonly [string, string] {
  const alias = option.alias === undefined ? '    ' : `-${option.alias}, `;
  return [`${alias}--${withValue(option)}`, option.about];
}

const withValue = ({ name, value }: OptionSpec): string => (value === undefined ? name : `${name} ${value}`);
