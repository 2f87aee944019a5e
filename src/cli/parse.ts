// The command line through yargs: which command, which options, which words. Only usage errors come from here.
import yargs from 'yargs';
import { TunnelError } from '../errors.ts';
import { nearest } from '../config/nearest.ts';
import { parseDuration } from '../model/duration.ts';
import { shellWord } from '../model/shell-word.ts';
import type { Args, CommandSpec, OptionSpec } from './command.ts';
import type { GlobalOptions } from './context.ts';
import { commands, globalOptions } from './usage.ts';

export interface Parsed {
  /** Null: no command was named. */
  readonly command: CommandSpec | null;
  readonly globals: GlobalOptions;
  readonly args: Args;
  readonly wants: 'help' | 'version' | 'run';
}

/** Throws USAGE for what no command takes. */
export function parseCommandLine(argv: readonly string[]): Parsed {
  const first = commandWord(argv);
  const askedFor = first === 'help' ? commandWord(argv.slice(argv.indexOf('help') + 1)) : first;
  const command = askedFor === null || askedFor === 'help' ? null : findCommand(askedFor);
  const options = [...globalOptions, ...(command?.options ?? [])];
  const found = readOptions(argv, command, options);
  // Behind -- stand words too, as everywhere;.
  const rest = Array.isArray(found['--']) ? found['--'].map(String) : [];
  const words = [...found._.map(String).slice(command === null ? 0 : 1), ...rest];
  if (first === null && words.length > 0) throw usage('tunnel', 'no command before --', 'tunnel --help');
  const wants =
    found['help'] === true || first === 'help' ? 'help' : found['version'] === true ? 'version' : 'run';
  if (command !== null && wants === 'run') checkWords(command, words);
  return {
    command,
    globals: {
      config: textOf(found, 'config', command),
      json: found['json'] === true,
      quiet: found['quiet'] === true,
      verbose: found['verbose'] === true,
      color: typeof found['color'] === 'boolean' ? found['color'] : undefined,
    },
    args: argsOf(found, words, command),
    wants,
  };
}

type Found = Record<string, unknown> & { _: (string | number)[] };

/** The first word that is no option and no option's value. */
function commandWord(argv: readonly string[]): string | null {
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') return null;
    if (word === '-c' || word === '--config') at += 1;
    else if (!word.startsWith('-')) return word;
  }
  return null;
}

function findCommand(name: string): CommandSpec {
  const command = commands.find((each) => each.name === name);
  if (command !== undefined) return command;
  const near = nearest(
    name,
    commands.map((each) => each.name),
  );
  const hint = near === null ? 'tunnel --help' : `tunnel ${near}    # did you mean that?`;
  throw usage(`tunnel ${shellWord(name)}`, 'no such command', hint);
}

function readOptions(
  argv: readonly string[],
  command: CommandSpec | null,
  options: readonly OptionSpec[],
): Found {
  const parser = yargs([])
    .locale('en')
    .help(false)
    .version(false)
    .exitProcess(false)
    .parserConfiguration({
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'duplicate-arguments-array': false,
      'populate--': true,
      'strip-aliased': true,
    })
    .strictOptions()
    .fail((message: string | null, thrown?: Error) => {
      throw thrown instanceof TunnelError ? thrown : optionError(message ?? '', command, options);
    });
  for (const { name, alias, value } of options) {
    parser.option(name, {
      type: value === undefined ? 'boolean' : 'string',
      ...(alias === undefined ? {} : { alias }),
      ...(value === undefined ? {} : { requiresArg: true }),
    });
  }
  return parser.parseSync([...argv]) as Found;
}

/** yargs says what is wrong in its own words: told from its fixed English messages, since it has no codes. */
function optionError(
  message: string,
  command: CommandSpec | null,
  options: readonly OptionSpec[],
): TunnelError {
  const help = command === null ? 'tunnel --help' : `tunnel ${command.name} --help`;
  const on = command === null ? 'tunnel' : `tunnel ${command.name}`;
  const valueless = /^Not enough arguments following: (.*)$/.exec(message)?.[1];
  if (valueless !== undefined) return usage(on, `${dashed(valueless)} needs a value`, help);
  const unknown = /^Unknown arguments?: (.*)$/.exec(message)?.[1]?.split(', ');
  if (unknown === undefined) return usage(on, message.replaceAll('\n', ' '), help);
  const shown = [...new Set(unknown)].map(dashed);
  const near = nearest(
    unknown[0] ?? '',
    options.map(({ name }) => name),
  );
  return usage(
    on,
    `no such option ${shown.join(', ')}`,
    near === null ? help : `${on} --${near}    # did you mean that? or ${help}`,
  );
}

const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`);

function checkWords(command: CommandSpec, words: readonly string[]): void {
  const { least, most } = command.takes;
  if (words.length >= least && words.length <= most) return;
  const why =
    words.length < least ? `${command.words} is missing` : `${words.slice(most).join(' ')} is too much`;
  throw usage(`tunnel ${command.name}`, why, `tunnel ${command.name} --help`);
}

function textOf(found: Found, name: string, command: CommandSpec | null): string | undefined {
  const value = found[name];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value !== '') return value;
  throw usage(`--${name}`, 'it needs a value', `tunnel ${command === null ? '' : `${command.name} `}--help`);
}

function argsOf(found: Found, words: readonly string[], command: CommandSpec | null): Args {
  const text = (name: string): string | undefined => textOf(found, name, command);
  return {
    words,
    flag: (name) => found[name] === true,
    text,
    durationMs(name, otherwise) {
      const written = text(name);
      if (written === undefined) return otherwise;
      const ms = parseDuration(written);
      if (ms !== null) return ms;
      throw usage(
        `--${name}`,
        `${written} is no duration; it needs a unit`,
        `tunnel ${command === null ? '' : `${command.name} `}--${name} 30s    # 250ms 30s 5m 2h`,
      );
    },
  };
}

export function usage(on: string, why: string, hint: string): TunnelError {
  return new TunnelError('USAGE', `command line failed, on ${on}: ${why}`, { hint });
}
