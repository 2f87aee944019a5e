// Shell words: a path or a name in a command that people paste, with quotes where a shell would act on it. Pure.

/** For a POSIX shell. A `~/` in front stays the home. */
export function shellWord(word: string): string {
  if (word.startsWith('~/') && word.length > 2) return `~/${shellWord(word.slice(2))}`;
  if (/^[\w@%+:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
