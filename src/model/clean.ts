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

/** Everything that shows as nothing but room: line breaks, tabs, blanks of every width, and letters that are empty. */
const blanks = /[\s\p{Zs}\u115f\u1160\u2800\u3164\uffa0]+/gu;

/** One line fit to show: no control, escape or bidi character; runs of blanks of any kind become single ones. */
export function cleanText(text: string): string {
  return strip(text).replace(blanks, ' ').trim();
}

/** Several lines fit to show, at most `maxLines`; what was left out is said in a last line. Tabs become blanks. */
export function cleanBanner(text: string, maxLines = 40): string {
  const lines = strip(text)
    .replaceAll('\t', ' ')
    .split('\n')
    .map((line) => line.trimEnd());
  while (lines.length > 0 && lines[0] === '') lines.shift();
  while (lines.length > 0 && lines.at(-1) === '') lines.pop();
  if (lines.length <= maxLines) return lines.join('\n');
  const kept = lines.slice(0, Math.max(0, maxLines - 1));
  return [...kept, `(${lines.length - kept.length} more lines)`].join('\n');
}
