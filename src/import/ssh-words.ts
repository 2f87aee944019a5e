// The words behind `ssh` or `autossh`: forwards, server and settings (ssh(1), autossh(1)). Pure.
import type { Setting, SshForward } from './found.ts';
import { carryOption, mergeSettings } from './ssh-options.ts';

export interface SshCommand {
  readonly forwards: readonly SshForward[];
  /** Null: none is named. */
  readonly host: string | null;
  readonly settings: Readonly<Record<string, Setting>>;
  /** What is passed over, in sentences. */
  readonly notes: readonly string[];
  /** Why this is no tunnel of ours; null for one that is. */
  readonly problem: string | null;
  /** Words behind the server: a command to run there. */
  readonly behind: readonly string[];
}

/** Options of ssh that take a value (ssh(1)). */
const withValue = 'BbcDEeFIiJLlmOoPpQRSWw';
/** Flags that say nothing about a tunnel. */
const meaningless = 'fNTnqvaxKys';

/** Whose words they are: out of a script; of autossh, whose -M takes a value; or typed for us, where what is of no use is a mistake. */
export type Manner = 'script' | 'autossh' | 'typed';

interface Read {
  readonly manner: Manner;
  readonly forwards: SshForward[];
  settings: Record<string, Setting>;
  readonly notes: string[];
  problem: string | null;
}

/** `words`: what stands behind the program's name. */
export function readSshWords(words: readonly string[], manner: Manner = 'script'): SshCommand {
  const read: Read = { manner, forwards: [], settings: {}, notes: [], problem: null };
  let host: string | null = null;
  let at = 0;
  for (; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word === '--') continue;
    if (!word.startsWith('-') || word === '-') {
      if (host !== null) break;
      host = word;
      continue;
    }
    const letters = manner === 'autossh' ? `${withValue}M` : withValue;
    const end = Array.from(word).findIndex((letter, index) => index > 0 && letters.includes(letter));
    for (const flag of word.slice(1, end < 0 ? undefined : end)) takeFlag(flag, read);
    if (end < 0) continue;
    const glued = word.slice(end + 1);
    if (glued === '') at += 1;
    takeValue(word[end] ?? '', glued === '' ? words[at] : glued, read);
  }
  const { forwards, notes, problem } = read;
  return { forwards, notes, problem, settings: finished(read.settings), host, behind: words.slice(at) };
}

function takeFlag(flag: string, read: Read): void {
  const set = (settings: Record<string, Setting>): void => {
    read.settings = mergeSettings(read.settings, settings);
  };
  if (flag === 'C') set({ compression: true });
  else if (flag === '4') set({ address_family: 'inet' });
  else if (flag === '6') set({ address_family: 'inet6' });
  else if (flag === 'g')
    read.problem ??= '-g opens every port to the network: write the address out, -L 0.0.0.0:…';
  else if (!meaningless.includes(flag)) useless(`-${flag}`, flag, read);
}

function useless(written: string, letter: string, read: Read): void {
  if (read.manner === 'typed')
    read.problem ??= `-${letter} has no use here, for a tunnel is no shell: leave it out`;
  else read.notes.push(`${written} has no use for a tunnel`);
}

/** Keyword of ssh_config(5) for a letter. */
const keywords: Readonly<Record<string, string>> = {
  b: 'bindaddress',
  c: 'ciphers',
  i: 'identityfile',
  J: 'proxyjump',
  l: 'user',
  m: 'macs',
  p: 'port',
};

function takeValue(letter: string, value: string | undefined, read: Read): void {
  if (value === undefined) read.problem ??= `-${letter} needs a value`;
  else if (letter === 'L' || letter === 'R' || letter === 'D') read.forwards.push({ letter, spec: value });
  else if (letter === 'o') takeOption(value, read);
  else if (keywords[letter] !== undefined) carry(keywords[letter], [value], read);
  else if (letter === 'F' && read.manner !== 'typed')
    read.problem ??= '-F names another ssh_config, whose settings are not known here';
  else if (read.manner === 'typed' || !'MEe'.includes(letter)) useless(`-${letter} ${value}`, letter, read);
}

function takeOption(written: string, read: Read): void {
  const [, keyword = '', value = ''] = /^\s*([A-Za-z0-9]+)\s*[=\s]\s*(.*)$/s.exec(written) ?? [];
  const name = keyword.toLowerCase();
  if (name === '') read.problem ??= `-o ${written} is not KEY=VALUE`;
  else if (name.endsWith('forward') && name !== 'clearallforwardings')
    read.problem ??= `-o ${keyword} is a forward: write it as -L, -R or -D`;
  else carry(name, value.split(/\s+/), read, keyword);
}

function carry(keyword: string, words: readonly string[], read: Read, shown = keyword): void {
  const carried = carryOption(keyword, words);
  if (carried === null) {
    if (read.manner === 'typed') read.notes.push(`note: ${shown} changes nothing here, and is passed over`);
    return;
  }
  if (read.manner === 'typed' && 'unknown' in carried) {
    read.problem ??= `-o ${shown} is none that can be had here`;
    return;
  }
  if (carried.note !== undefined) read.notes.push(`${noteWord(keyword, read)}${carried.note}`);
  if ('settings' in carried) read.settings = mergeSettings(read.settings, carried.settings);
}

/** A line of talk, for what was typed for us. */
function noteWord(keyword: string, { manner }: Read): string {
  if (manner !== 'typed') return '';
  return keyword === 'stricthostkeychecking' ? 'warning: ' : 'note: ';
}

/** A key that is named comes before the agent's, and does not shut those out, as in ssh. */
function finished(settings: Record<string, Setting>): Record<string, Setting> {
  const named = settings['identity'] !== undefined && settings['identities_only'] === undefined;
  return named ? { ...settings, identities_only: false } : settings;
}
