// The command line through yargs: which command, which options, which words. Only usage errors come from here.
import yargs from 'yargs';
import { TunnelError } from '../errors.ts';
import { nearest } from '../config/nearest.ts';
import { parseDuration } from '../model/duration.ts';
import { shellWord } from '../model/shell-word.ts';
import { globalOptions, usage, type Args, type CommandSpec, type OptionSpec } from './command.ts';
import { listNames } from '../render/error.ts';
import type { GlobalOptions } from '../client/context.ts';
import { habitWords, insteadOf, readSshLine, takeSshOptions } from './habits.ts';
import { commands } from './commands.ts';
import { typedLine, withValue } from './typed-line.ts';

export interface Parsed {
  /** Null: no command was named. */
  readonly command: CommandSpec | null;
  readonly globals: GlobalOptions;
  readonly args: Args;
  readonly wants: 'help' | 'version' | 'run';
}

/** Throws USAGE for what no command takes. `configFile`: the file in use, for a hint that names it. */
export function parseCommandLine(
  argv: readonly string[],
  configFile: () => string = () => 'tunnels.yaml',
): Parsed {
  const first = commandWord(argv);
  const askedFor = first === 'help' ? commandWord(argv.slice(argv.indexOf('help') + 1)) : first;
  const command = commands.find(({ name }) => name === askedFor) ?? null;
  const ssh = readSshLine(argv, command);
  if (ssh !== null) throw usage(`${ssh.said} is for ssh: here it stands behind a command`, ssh.instead);
  if (command === null && askedFor !== null && askedFor !== 'help')
    throw noCommand(argv, argv.indexOf(askedFor), configFile);
  const options = [...globalOptions, ...(command?.options ?? [])];
  const { rest: ours, sshWords } =
    command?.ssh === true ? takeSshOptions(argv) : { rest: argv, sshWords: [] };
  const found = readOptions(ours, command, options);
  // Behind -- stand words too, as everywhere, but for a command that runs them.
  const rest = Array.isArray(found['--']) ? found['--'].map(String) : [];
  const behind = command?.runs === true ? rest : [];
  const words = [...found._.map(String).slice(command === null ? 0 : 1), ...(behind === rest ? [] : rest)];
  if (first === null && words.length > 0) throw usage('a command must come before --', 'tunnel --help');
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
    args: argsOf(found, { words, behind, sshWords, typed: argv }, command),
    wants,
  };
}

type Found = Record<string, unknown> & { _: (string | number)[] };

/** Options of every command that have a value: one may stand before the command too. */
const valued: ReadonlySet<string> = new Set(
  [...globalOptions, ...commands.flatMap(({ options }) => options)]
    .filter(({ value }) => value !== undefined)
    .flatMap(({ name, alias }) => [`--${name}`, ...(alias === undefined ? [] : [`-${alias}`])]),
);

/** The first word that is no option and no option's value. */
function commandWord(argv: readonly string[]): string | null {
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') return null;
    if (valued.has(word)) at += 1;
    else if (!word.startsWith('-')) return word;
  }
  return null;
}

function noCommand(argv: readonly string[], at: number, configFile: () => string): TunnelError {
  const name = argv[at] ?? '';
  const instead = insteadOf(name, argv, at, name === 'edit' ? configFile() : '');
  if (instead !== null) return usage(`there is no command ${name}`, instead);
  const near = nearest(name, [...commands.map((each) => each.name), ...habitWords]);
  const meant =
    near === null ? null : (insteadOf(near, argv, at, configFile()) ?? typedLine(argv, at, [near]));
  const hint = meant === null ? 'tunnel --help' : `${meant}    # did you mean that?`;
  return usage(`there is no command ${shellWord(name)}`, hint);
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
      throw thrown instanceof TunnelError ? thrown : optionError(message ?? '', argv, command, options);
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
  argv: readonly string[],
  command: CommandSpec | null,
  options: readonly OptionSpec[],
): TunnelError {
  const on = command === null ? 'tunnel' : `tunnel ${command.name}`;
  const help = `${on} --help`;
  const valueless = /^Not enough arguments following: (.*)$/.exec(message)?.[1];
  if (valueless !== undefined) return usage(`${dashed(valueless)} needs a value`, help);
  const unknown = /^Unknown arguments?: (.*)$/.exec(message)?.[1]?.split(', ');
  if (unknown === undefined) return usage(message.replaceAll('\n', ' '), help);
  const shown = [...new Set(unknown)].map(dashed);
  const near = nearest(
    unknown[0] ?? '',
    options.map(({ name }) => name),
  );
  const meant = near === null ? null : withOption(argv, unknown[0] ?? '', near);
  return usage(
    `${on} has no option ${shown.join(' or ')}`,
    meant === null ? help : `${meant}    # did you mean that? or ${help}`,
  );
}

/** The line with that option in place of the one that is none; its value stays where it stands. */
function withOption(argv: readonly string[], given: string, meant: string): string | null {
  const written = dashed(given);
  const at = argv.findIndex((word) => word === written || word.startsWith(`${written}=`));
  return typedLine(argv, at, [`--${meant}${argv[at]?.slice(written.length) ?? ''}`]);
}

const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`);

function checkWords(command: CommandSpec, words: readonly string[]): void {
  const { least, most = Infinity } = command.takes;
  if (words.length >= least && words.length <= most) return;
  const on = `tunnel ${command.name}`;
  if (words.length < least) throw usage(`${on} needs ${command.words}`, `${on} --help`);
  const over = listNames(words.slice(most).map(shellWord));
  throw usage(
    most === 0 ? `${on} takes no words, but got ${over}` : `${on} cannot use ${over}`,
    `${on} --help`,
  );
}

function textOf(found: Found, name: string, command: CommandSpec | null): string | undefined {
  const value = found[name];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value !== '') return value;
  const on = command === null ? '' : `${command.name} `;
  throw usage(`--${name} needs a value`, { command: `${on}--help` });
}

function argsOf(
  found: Found,
  taken: Pick<Args, 'words' | 'behind' | 'sshWords' | 'typed'>,
  command: CommandSpec | null,
): Args {
  const text = (name: string): string | undefined => textOf(found, name, command);
  const on = command === null ? '' : `${command.name} `;
  return {
    ...taken,
    flag: (name) => found[name] === true,
    text,
    durationMs(name, otherwise) {
      const written = text(name);
      if (written === undefined) return otherwise;
      const ms = parseDuration(written);
      if (ms !== null) return ms;
      const note = '    # 250ms 30s 5m 2h';
      throw usage(
        `--${name} needs a duration with a unit, not ${shellWord(written)}`,
        `${withValue(taken.typed, name, '30s') ?? `tunnel ${on}--${name} 30s`}${note}`,
      );
    },
  };
}
