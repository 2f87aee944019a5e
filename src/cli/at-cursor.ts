// What may stand at the cursor of a command line, told from the table of commands alone: for completion. Pure.
import { globalOptions, type CommandSpec, type OptionSpec, type WordKind } from './command.ts';
import { takeSshOptions } from './habits.ts';

export interface AtCursor {
  /** Words of the table itself, each with what --help says of it. */
  readonly words: readonly (readonly [word: string, about: string])[];
  /** What must be looked up. */
  readonly kinds: readonly Exclude<WordKind, readonly string[]>[];
  /** Stands before each candidate: `--tag=`. */
  readonly before: string;
  /** Words that stand there already: they are not offered twice. */
  readonly given: readonly string[];
  /** As given to --config. */
  readonly config: string | undefined;
}

const nothing: Omit<AtCursor, 'config'> = { words: [], kinds: [], before: '', given: [] };

/** `line`: the words behind `tunnel`, the last one as far as it is typed, which may be not at all. */
export function atCursor(line: readonly string[], commands: readonly CommandSpec[]): AtCursor {
  const current = line.at(-1) ?? '';
  const read = readLine(line.slice(0, -1), commands);
  return { ...nothing, config: read.config, ...candidates(current, read, commands) };
}

interface Read {
  readonly command: CommandSpec | null;
  /** What stood behind the command, without options. */
  readonly words: readonly string[];
  /** Names of options that were given. */
  readonly options: readonly string[];
  /** The option whose value comes next. */
  readonly open: OptionSpec | null;
  /** A letter of ssh's whose value comes next. */
  readonly openLetter: string | null;
  /** Behind --. */
  readonly ended: boolean;
  readonly config: string | undefined;
}

function candidates(current: string, read: Read, commands: readonly CommandSpec[]): Partial<AtCursor> {
  const { command, open, openLetter, ended } = read;
  if (ended && command?.words.includes(' -- ') === true) return { kinds: ['file'] };
  if (openLetter !== null) return { kinds: kindOfLetter[openLetter] ?? [] };
  if (open !== null) return ofKind(kindOf(open.value ?? '', command));
  const [, glued] = /^--([\w-]+)=/.exec(current) ?? [];
  if (glued !== undefined && !ended) {
    const option = optionsOf(command).find(({ name }) => name === glued);
    return { ...ofKind(kindOf(option?.value ?? '', command)), before: `--${glued}=` };
  }
  if (current.startsWith('-') && !ended) return { words: optionWords(read) };
  if (command === null || (command.name === 'help' && read.words.length === 0))
    return { words: commands.map(({ name, about }) => [name, about] as const) };
  return ofWords(tokensAt(command.words, read.words), command, read.words);
}

function ofWords(
  tokens: readonly string[],
  command: CommandSpec,
  given: readonly string[],
): Partial<AtCursor> {
  const literal = tokens.filter((token) => /^[a-z][a-z-]*$/.test(token));
  const found = tokens.filter((token) => !literal.includes(token)).map((token) => kindOf(token, command));
  const parts = found.map(ofKind);
  return {
    words: [...literal.map((word) => [word, ''] as const), ...parts.flatMap(({ words = [] }) => words)],
    kinds: parts.flatMap(({ kinds = [] }) => kinds),
    given,
  };
}

const ofKind = (kind: WordKind): Partial<AtCursor> =>
  typeof kind === 'string'
    ? { kinds: kind === 'nothing' ? [] : [kind] }
    : { words: kind.map((word) => [word, ''] as const) };

/** What the word of --help for a place stands for, where the command does not say otherwise. */
const usualKinds: Readonly<Record<string, WordKind>> = {
  SEL: 'selector',
  NAME: 'tunnel',
  HOST: 'host',
  FILE: 'file',
  TAG: 'tag',
};

/** Of `TAG[,TAG]` and its like by the first word of it. */
function kindOf(placeholder: string, command: CommandSpec | null): WordKind {
  const word = /^[A-Z]+(?=$|\[)/.exec(placeholder)?.[0] ?? '';
  return command?.stands?.[word] ?? usualKinds[word] ?? 'nothing';
}

/** Letters of ssh whose values can be completed. */
const kindOfLetter: Readonly<Record<string, readonly ('file' | 'host')[]>> = { i: ['file'], J: ['host'] };

const optionsOf = (command: CommandSpec | null): readonly OptionSpec[] => [
  ...(command?.options ?? []),
  ...globalOptions,
];

function optionWords({ command, options }: Read): AtCursor['words'] {
  return optionsOf(command)
    .filter(({ name }) => !options.includes(name))
    .flatMap(({ name, about, refusable }) => [
      [`--${name}`, about] as const,
      ...(refusable === true ? [[`--no-${name}`, about] as const] : []),
    ]);
}

/**
 * The tokens of a synopsis that can follow these words: of `[list|forget HOST…|export]` first list, forget and export,
 * behind `forget` HOST as often as one likes.
 */
function tokensAt(synopsis: string, before: readonly string[]): readonly string[] {
  const bare = synopsis.replace(/^\[([^[\]]*)\]$/, '$1');
  return bare.split('|').flatMap((alternative) => {
    const tokens = alternative.split(/\s+/).filter((token) => token !== '' && token !== '--');
    const at = (index: number): string | undefined => {
      const last = tokens.at(-1);
      const token = tokens[index] ?? (last?.includes('…') === true ? last : undefined);
      return token?.replace(/^\[(.*)\]$/, '$1').replace('…', '');
    };
    const fits = before.every((word, index) => {
      const token = at(index);
      return token !== undefined && (token === word || !/^[a-z-]+$/.test(token));
    });
    const next = at(before.length);
    return fits && next !== undefined ? [next] : [];
  });
}

/** The words before the one at the cursor. */
function readLine(before: readonly string[], commands: readonly CommandSpec[]): Read {
  const known = [...globalOptions, ...commands.flatMap(({ options }) => options)];
  let read: Read = {
    command: null,
    words: [],
    options: [],
    open: null,
    openLetter: null,
    ended: false,
    config: undefined,
  };
  for (const word of before) read = withWord(read, word, { known, commands });
  return read;
}

interface Table {
  readonly known: readonly OptionSpec[];
  readonly commands: readonly CommandSpec[];
}

function withWord(read: Read, word: string, { known, commands }: Table): Read {
  const { command, open } = read;
  if (open !== null) return { ...read, open: null, config: open.name === 'config' ? word : read.config };
  if (read.openLetter !== null) return { ...read, openLetter: null };
  if (read.ended) return { ...read, words: [...read.words, word] };
  if (word === '--') return { ...read, ended: true };
  if (!word.startsWith('-') || word === '-')
    return command === null
      ? { ...read, command: commands.find(({ name }) => name === word) ?? other(word) }
      : { ...read, words: [...read.words, word] };
  if (command?.ssh === true && !word.startsWith('--')) {
    const [taken] = takeSshOptions([word]).sshWords;
    if (taken !== undefined)
      return { ...read, openLetter: /^-\w*([bDEeFIiJLlmOoPpQRSWw])$/.exec(taken)?.[1] ?? null };
  }
  const [, long, value] = /^--([\w-]+)(?:=(.*))?$/s.exec(word) ?? [];
  const own = command === null ? known : optionsOf(command);
  const option = own.find(({ name, alias }) => (long === undefined ? word === `-${alias}` : name === long));
  if (option === undefined) return read;
  const config = option.name === 'config' && value !== undefined ? value : read.config;
  const isOpen = option.value !== undefined && value === undefined;
  return { ...read, config, options: [...read.options, option.name], open: isOpen ? option : null };
}

/** `help`, and a word that is no command: nothing is known of what follows it. */
const other = (name: string): CommandSpec => ({
  name,
  words: '',
  takes: { least: 0 },
  about: '',
  options: [],
  examples: [],
});
