// The command line as it was typed with one word put right, so that a hint loses nothing that was given. Pure.
import { shellWord } from '../model/shell-word.ts';

/** `words` stand behind `tunnel`; `instead` takes the place of the word at `at`. Null where no word stands there. */
export function typedLine(words: readonly string[], at: number, instead: readonly string[]): string | null {
  if (at < 0 || at >= words.length) return null;
  return ['tunnel', ...[...words.slice(0, at), ...instead, ...words.slice(at + 1)].map(shellWord)].join(' ');
}

/** The line with another value for an option. Null where the option stands there by its one letter. */
export function withValue(words: readonly string[], option: string, value: string): string | null {
  const at = words.findLastIndex((word) => word === `--${option}` || word.startsWith(`--${option}=`));
  const isGlued = words[at]?.includes('=') === true;
  return isGlued
    ? typedLine(words, at, [`--${option}=${value}`])
    : typedLine(words, at === -1 ? -1 : at + 1, [value]);
}
