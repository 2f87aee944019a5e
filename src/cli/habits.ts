// Habits from ssh, docker and systemctl: what a person means by a word or an option that is no command here. Pure.
import { parseDuration } from '../model/duration.ts';
import { shellWord } from '../model/shell-word.ts';
import type { CommandSpec } from './command.ts';

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

/** The command line that does what `word` asks for; null for a word that is nobody's habit. */
export function insteadOf(word: string, others: readonly string[], configFile: string): string | null {
  if (word === 'config') return 'tunnel show    # what it comes to; tunnel check finds its faults';
  if (word === 'edit') return `\${EDITOR:-vi} ${configFile}`;
  const command = Object.hasOwn(synonyms, word) ? synonyms[word] : undefined;
  if (command === undefined) return null;
  const kept = command === '--version' ? [] : others;
  return ['tunnel', command, ...kept.map(shellWord)].join(' ');
}

/** [bind:]port:host:hostport, as behind ssh's -L. */
const forwardWords = /^(?:[^\s:]*:|\[[^\]]*\]:)?(\d{1,5}):([^\s:]+|\[[^\]]*\]):(\d{1,5})$/;
/** What ssh takes a value behind, of the options that come with a forward (ssh(1)). */
const withValue = /^-[bceilmopBDEFIJLOQRSWw]$/;
const forwardOption = /^-[46AaCfGgkNnqTtvXxYy]*([LRD])(.*)$/;

/** An ssh command line: the option that asks for a forward, and the command that writes such a tunnel down. */
export interface SshLine {
  readonly said: string;
  readonly instead: string;
}

/**
 * `tunnel -L 5432:db:5432 me@bastion` and `tunnel 5432:db:5432 me@bastion`. `command`: what was named before it;
 * only `up` and no command at all are taken for ssh.
 */
export function readSshLine(argv: readonly string[], command: CommandSpec | null): SshLine | null {
  if (command !== null && command.name !== 'up') return null;
  let said: string | null = null;
  let forward: string | null = null;
  let server: string | null = null;
  for (let at = command === null ? 0 : argv.indexOf(command.name) + 1; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    const option = word.startsWith('--') ? null : forwardOption.exec(word);
    if (option !== null) {
      said ??= `-${option[1]}`;
      forward ??= option[1] === 'L' ? option[2] || argv[at + 1] || null : null;
      if (option[2] === '') at += 1;
    } else if (forwardWords.test(word)) {
      said ??= word;
      forward ??= word;
    } else if (withValue.test(word)) at += 1;
    else if (!word.startsWith('-') && parseDuration(word) === null) server ??= word;
  }
  return said === null ? null : { said, instead: initLine(forward, server) };
}

function initLine(forward: string | null, server: string | null): string {
  const [, local, host, port] = forwardWords.exec(forward ?? '') ?? [];
  if (local === undefined) return 'tunnel init';
  const same = local === port ? '' : ` --local ${local}`;
  return `tunnel init --host ${shellWord(server ?? 'user@host')} --remote ${shellWord(`${host}:${port}`)}${same}`;
}
