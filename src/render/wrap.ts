// Text in a given number of columns: wrapped between words, or shortened in its middle. Pure.
import { displayWidth } from './width.ts';

/**
 * Lines of at most `columns`, broken between words. A word that is longer stays whole: a path or a command that is
 * broken cannot be copied.
 */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line === '' || displayWidth(longer) <= columns) line = longer;
    else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line];
}

/** `katie.ex…:12000`: names differ at their ends, and an address ends with its port. */
export function shorten(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  const characters = Array.from(text);
  if (columns < 3) return takeFrom(characters, columns);
  const back = Math.floor((columns - 1) / 2);
  return `${takeFrom(characters, columns - 1 - back)}…${takeFrom(characters.toReversed(), back, true)}`;
}

function takeFrom(characters: readonly string[], columns: number, reversed = false): string {
  let taken: string[] = [];
  let width = 0;
  for (const character of characters) {
    width += displayWidth(character);
    if (width > columns) break;
    taken = [...taken, character];
  }
  return (reversed ? taken.toReversed() : taken).join('');
}
