// Shell words: a path or a name in a command that people paste, with quotes where a shell would act on it. Pure.
import { isVisible } from './clean.ts';

/** For a POSIX shell; with characters that cannot be seen for one that knows $'…' (bash, zsh). A `~/` in front stays the home. */
export function shellWord(word: string): string {
  if (word.startsWith('~/') && word.length > 2) return `~/${shellWord(word.slice(2))}`;
  if (/^[\w@%+:,./-]+$/.test(word)) return word;
  if (!isVisible(word) || /[\n\t]/.test(word)) return `$'${Array.from(word, escaped).join('')}'`;
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** For any POSIX shell, with no quoting that only some know: the word as it is, for a shell to evaluate rather than to look at. */
export function posixWord(word: string): string {
  return /^[\w@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** A character within $'…' (bash(1), QUOTING): what cannot be seen as its bytes. */
function escaped(character: string): string {
  if (character === "'" || character === '\\') return `\\${character}`;
  if (isVisible(character) && !/[\n\t]/.test(character)) return character;
  return Array.from(Buffer.from(character), (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
