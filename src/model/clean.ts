// Clean text: what a server, a target, a proxy command or a file says, without what a terminal would obey.
/* oxlint-disable no-control-regex -- control characters are what this file is about */

/**
 * Whole escape sequences first, so that no "[31m" is left: CSI, then OSC, DCS, SOS, PM and APC with their strings,
 * then the two-byte ones (ECMA-48).
 */
const escapes =
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]/g;

/** C0, DEL and C1 controls. Tab and line feed are handled by the callers. */
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Marks that turn or hide text: bidi controls, invisible operators, separators that break lines, tags, BOM. */
const invisible =
  /[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** Unpaired halves of a surrogate pair: they cannot be written as UTF-8. */
const strays = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function strip(text: string): string {
  return text
    .replace(escapes, '')
    .replace(/\r\n?/g, '\n')
    .replace(controls, '')
    .replace(invisible, '')
    .replace(strays, '\ufffd');
}

/** The few of SGR that render/color paints with, which the door lets through: from elsewhere they could only colour. */
const colours = /(\u001b\[(?:1|2|22|3[1-6]|39)m)/;

/**
 * The door for text to a terminal: lines of ours, with whatever they quote. Line ends, tabs and colours stay, and nothing
 * else that a terminal obeys.
 */
export function visibleText(text: string): string {
  if (isVisible(text)) return text;
  return text
    .split(colours)
    .map((piece, index) => (index % 2 === 1 ? piece : strip(piece)))
    .join('');
}

/** The same for a command to paste: one line, nothing of it coloured, its blanks as they are. */
export function visibleCommand(text: string): string {
  return strip(text)
    .replace(/[\t\n]/g, ' ')
    .trim();
}

/** JSON of the very same value in which nothing is raw that a terminal would obey: all of it is written `\\u….` */
export function jsonText(
  value: unknown,
  indent = 0,
  replace?: (key: string, value: unknown) => unknown,
): string {
  return escapeUnits(escapeUnits(JSON.stringify(value, replace, indent), invisible), controls);
}

function escapeUnits(json: string, unsafe: RegExp): string {
  return json.replace(unsafe, (found) =>
    Array.from(
      { length: found.length },
      (_, at) => `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}

/** Whether anything of it would be taken out on the way to a terminal. */
export function isVisible(text: string): boolean {
  return strip(text) === text;
}

/** Everything that shows as nothing but room: line breaks, tabs, blanks of every width, and letters that are empty. */
const blanks = /[\s\p{Zs}\u115f\u1160\u2800\u3164\uffa0]+/gu;

/** One line fit to show: no control, escape or bidi character; runs of blanks of any kind become single ones. */
export function cleanText(text: string): string {
  return strip(text).replace(blanks, ' ').trim();
}

/** Characters of what a peer says in passing: a packet may hold 256 KiB of it, and messages, logs and status quote it. */
const longestQuote = 300;

/** Words of a peer, to be quoted in a message: clean, and cut where it is longer than a message may be. */
export function cleanQuote(text: string): string {
  const clean = Array.from(cleanText(text.slice(0, 16 * longestQuote)));
  const isCut = text.length > 16 * longestQuote || clean.length > longestQuote;
  return clean.slice(0, longestQuote).join('') + (isCut ? ' …' : '');
}

/** Several lines fit to show, at most `maxLines`; what was left out is said in a last line. Tabs become blanks. */
export function cleanBanner(text: string, maxLines = 40): string {
  const lines = strip(text)
    .replaceAll('\t', ' ')
    .split('\n')
    .map((line) => line.trimEnd());
  const first = lines.findIndex((line) => line !== '');
  const shown = first === -1 ? [] : lines.slice(first, 1 + lines.findLastIndex((line) => line !== ''));
  if (shown.length <= maxLines) return shown.join('\n');
  const kept = shown.slice(0, Math.max(0, maxLines - 1));
  return [...kept, `(${shown.length - kept.length} more lines)`].join('\n');
}
