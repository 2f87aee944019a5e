// Habits from ssh, docker and systemctl: what a person means by a word or an option that is no command here. Pure.
import { parseDuration } from '../model/duration.ts';
import { shellWord } from '../model/shell-word.ts';
import type { CommandSpec } from './command.ts';
import { typedLine } from './typed-line.ts';

/** Words of other programs, and the command that does it here. `edit` and `config` are about the file itself. */
const synonyms: Readonly<Record<string, string>> = {
  ls: 'status',
  list: 'status',
  ps: 'status',
  start: 'up',
  stop: 'down',
  validate: 'check',
  version: '--version',
};

const aboutTheFile = ['config', 'edit'];

export const habitWords: readonly string[] = [...Object.keys(synonyms), ...aboutTheFile];

/**
 * The command line that does what `word` asks for, with all else that was typed; null for a word that is nobody's habit.
 * `at`: where the word for the command stands.
 */
export function insteadOf(
  word: string,
  typed: readonly string[],
  at: number,
  configFile: string,
): string | null {
  if (word === 'config') return 'tunnel show    # what it comes to; tunnel check finds its faults';
  if (word === 'edit') return `\${EDITOR:-vi} ${configFile}`;
  const command = Object.hasOwn(synonyms, word) ? synonyms[word] : undefined;
  if (command === undefined) return null;
  return command === '--version' ? 'tunnel --version' : typedLine(typed, at, [command]);
}

/** [bind:]port:host:hostport, as behind ssh's -L. */
const forwardWords =
  /^(?:[^\s:]*:|\[[^\]]*\]:)?(\d{1,5}(?:-\d{1,5})?):([^\s:]+|\[[^\]]*\]):(\d{1,5}(?:-\d{1,5})?)$/;
/** Letters of ssh(1) that take a value, and flags; -q -v -V -h and -c are ours. */
const sshOption = /^-([46AaCfGgkKMNnqsTtXxYy]*)([bDEeFIiJLlmOoPpQRSWw])(.*)$/s;
const sshFlags = /^-[46AaCfGgkKMNnqsTtXxYy]+$/;
const forwardOption = /^-[46AaCfGgkKMNnqsTtvXxYy]*([LRD])(.*)$/;

export interface TakenApart {
  readonly rest: readonly string[];
  /** ssh's options, each with its value, in order. */
  readonly sshWords: readonly string[];
}

/** What yargs cannot read: one-letter options, glued to their value, repeated, run together. Behind -- nothing is taken. */
export function takeSshOptions(argv: readonly string[]): TakenApart {
  const rest: string[] = [];
  const sshWords: string[] = [];
  const end = argv.indexOf('--');
  const before = end < 0 ? argv : argv.slice(0, end);
  for (let at = 0; at < before.length; at += 1) {
    const word = before[at] ?? '';
    const [, , letter, glued] = word === '-q' ? [] : (sshOption.exec(word) ?? []);
    if (letter !== undefined) {
      sshWords.push(word);
      if (glued !== '') continue;
      at += 1;
      const value = before[at];
      if (value !== undefined) sshWords.push(value);
    } else if (word !== '-q' && sshFlags.test(word)) sshWords.push(word);
    else rest.push(word);
  }
  return { rest: [...rest, ...argv.slice(before.length)], sshWords };
}

/** An ssh command line without the command that takes it: the word that asks for a forward, and that command. */
export interface SshLine {
  readonly said: string;
  readonly instead: string;
}

/**
 * `tunnel -L 5432:db:5432 me@bastion` and `tunnel up 5432:db:5432 me@bastion`. `command`: what was named before it;
 * only `up` and no command at all are taken for ssh.
 */
export function readSshLine(argv: readonly string[], command: CommandSpec | null): SshLine | null {
  if (command !== null && command.name !== 'up') return null;
  const from = command === null ? 0 : argv.indexOf(command.name) + 1;
  const { rest, sshWords } = takeSshOptions(argv.slice(from));
  const option = sshWords.map((word) => forwardOption.exec(word)).find((match) => match !== null);
  if (command !== null && option !== undefined) return null;
  const bare = rest.find((word) => forwardWords.test(word));
  if (option === undefined && bare === undefined) return null;
  const server = rest.find((word) => word !== bare && !word.startsWith('-') && parseDuration(word) === null);
  const words = bare === undefined ? sshWords : ['-L', bare, ...sshWords];
  return { said: option === undefined ? (bare ?? '') : `-${option[1]}`, instead: upLine(words, server) };
}

/** The same forwards and settings for `up`; flags that mean nothing here are left out. */
function upLine(words: readonly string[], server: string | undefined): string {
  const kept = words
    .filter((word) => !/^-[fNTnqk]+$/.test(word))
    .map((word) => word.replace(/^-[fNTnqk]+(?=[LRD])/, '-'));
  return ['tunnel up', ...kept.map(shellWord), shellWord(server ?? 'user@host')].join(' ');
}
