// Columns that a text takes on a terminal, and lines that fit. Own and small: a library takes a quarter of a whole `tunnel status`.

/** Printable ASCII, Latin letters, dashes, quotes, the ellipsis and arrows: one column each. */
const narrow = /^[\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027\u2190-\u21ff]*$/;

/** Colors of our own painting. */
// oxlint-disable-next-line no-control-regex -- the escape is what is looked for
const colors = /\u001b\[[0-9;]*m/g;

const none = /[\p{Mn}\p{Me}\p{Cc}\p{Cf}]/u;

/** East Asian Wide and Fullwidth (Unicode Annex 11), and what is shown as an emoji by itself. */
const wide =
  /[\u1100-\u115f\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;

export function displayWidth(text: string): number {
  if (narrow.test(text)) return text.length;
  let width = 0;
  for (const character of text.replace(colors, '')) {
    if (!none.test(character)) width += wide.test(character) ? 2 : 1;
  }
  return width;
}

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
