// The lines of an ssh_config, taken apart as OpenSSH does: keyword, words, quotes, comments (ssh_config(5); readconf.c, misc.c). Pure.

export interface ConfigLine {
  /** From 1. */
  readonly number: number;
  /** In small letters. */
  readonly keyword: string;
  /** Everything behind the keyword as written, comment and quotes too. Never empty. */
  readonly rest: string;
  /** The same as words: quotes and escapes taken off, a comment left out. */
  readonly words: readonly string[];
}

/** A line that ssh refuses, and with it the whole file. */
export interface FaultyLine {
  readonly number: number;
  readonly problem: string;
}

/** Every line that says something. */
export function readConfigLines(text: string): readonly (ConfigLine | FaultyLine)[] {
  return text.split('\n').flatMap((line, index) => {
    const read = readLine(line, index + 1);
    return read === null ? [] : [read];
  });
}

function readLine(line: string, number: number): ConfigLine | FaultyLine | null {
  const written = trimEnd(line).replace(/^[ \t\r]+/, '');
  if (written === '' || written.startsWith('#')) return null;
  const split = splitKeyword(written);
  if (split === null) return null; // a quote that is never closed in front: ssh sees no keyword there
  const keyword = split.keyword.toLowerCase();
  if (split.rest === '') return { number, problem: `${keyword} has no value` };
  const words = splitWords(split.rest);
  if (words === null) return { number, problem: 'a quote is not closed' };
  return { number, keyword, rest: split.rest, words };
}

/** The keyword ends at a blank, at one `=`, or where its quotes do. */
function splitKeyword(line: string): { keyword: string; rest: string } | null {
  const quoted = /^([^ \t\r"=]*)"/.exec(line);
  if (quoted !== null) {
    const [start = '', before = ''] = quoted;
    const close = line.indexOf('"', start.length);
    if (close < 0) return null;
    return { keyword: before + line.slice(start.length, close), rest: trimStart(line.slice(close + 1)) };
  }
  const keyword = /^[^ \t\r=]*/.exec(line)?.[0] ?? '';
  return { keyword, rest: trimStart(line.slice(keyword.length)).replace(/^=[ \t\r]*/, '') };
}

/** By hand: a pattern that ends in `$` would begin again at each blank of a line. */
function trimEnd(line: string): string {
  let end = line.length;
  while (end > 0 && ' \t\r\f'.includes(line.charAt(end - 1))) end -= 1;
  return line.slice(0, end);
}

const trimStart = (text: string): string => text.replace(/^[ \t\r]+/, '');

/**
 * Words between blanks; '…' and "…" hold blanks; a backslash takes the meaning from a quote, a backslash or (outside
 * quotes) a blank, and is itself before anything else; # at the start of a word ends the line. Null: a quote stays open.
 */
function splitWords(text: string): string[] | null {
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    if (text[at] === ' ' || text[at] === '\t') at++;
    else if (text[at] === '#') break;
    else {
      const taken = takeWord(text, at);
      if (taken === null) return null;
      words.push(taken.word);
      at = taken.end;
    }
  }
  return words;
}

function takeWord(text: string, from: number): { word: string; end: number } | null {
  let word = '';
  let quote = '';
  let at = from;
  for (; at < text.length; at++) {
    const character = text.charAt(at);
    const next = text.charAt(at + 1);
    const isBlank = character === ' ' || character === '\t';
    if (character === '\\' && (['"', "'", '\\'].includes(next) || (quote === '' && next === ' '))) {
      word += next;
      at++;
    } else if (quote === '' && isBlank) break;
    else if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = '';
    else word += character;
  }
  return quote === '' ? { word, end: at } : null;
}
