// known_hosts as text: its lines read, and changed so that every line a change is not about stays as it is, comments too
// (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). Pure.
import { createHmac } from 'node:crypto';
import { fingerprint } from '../keys/fingerprint.ts';
import { keyType, keyWeakness } from '../keys/public-key.ts';

export type Marker = 'revoked' | 'cert-authority';

/** Where a line stands. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

export interface KnownHostEntry extends Place {
  readonly marker: Marker | null;
  /** First field as written: names, patterns or a hash. */
  readonly hosts: string;
  readonly type: string;
  /** The public key blob. */
  readonly key: Buffer;
  readonly fingerprint: string;
  readonly comment: string;
}

/** A line that OpenSSH would skip too, and why. */
export interface SkippedLine extends Place {
  readonly reason: string;
}

export interface ParsedKnownHosts {
  readonly file: string;
  readonly entries: readonly KnownHostEntry[];
  readonly skipped: readonly SkippedLine[];
}

/** Reads a whole file. A bad line never hides the others. */
export function parseKnownHosts(text: string, file: string): ParsedKnownHosts {
  const slices = parseInSlices(text, file, Number.POSITIVE_INFINITY);
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value;
  }
}

/** The same, stopping after every `linesAtOnce` lines, for files so long that the connections next door would wait. */
export function* parseInSlices(
  text: string,
  file: string,
  linesAtOnce: number,
): Generator<void, ParsedKnownHosts, void> {
  const entries: KnownHostEntry[] = [];
  const skipped: SkippedLine[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    if (index % linesAtOnce === linesAtOnce - 1) yield;
    const parsed = parseLine(raw, { file, line: index + 1 });
    if (parsed === null) continue;
    if ('reason' in parsed) skipped.push(parsed);
    else entries.push(parsed);
  }
  return { file, entries, skipped };
}

function parseLine(raw: string, at: Place): KnownHostEntry | SkippedLine | null {
  const skip = (reason: string): SkippedLine => ({ ...at, reason });
  const line = raw.replace(/^[ \t]+/, '');
  if (line === '' || line === '\r' || line.startsWith('#')) return null;
  const marked = takeMarker(line);
  if ('reason' in marked) return skip(marked.reason);
  const { marker } = marked;
  const [hosts = '', type, base64, ...comment] = marked.rest.split(/[ \t]+/);
  if (type === undefined || base64 === undefined || base64 === '') return skip('no key on the line');
  if (hosts.startsWith('|') && !hashForm.test(hosts)) return skip('the host name hash is malformed');
  if (/^\d+$/.test(type)) return skip('a key of SSH protocol 1');
  // A carriage return at the end of the line, where no comment follows, is passed over as OpenSSH's decoder does.
  const key = decodeBase64(base64.replace(/\s+/g, ''));
  if (key === null) return skip('the key is not base64');
  if (keyType(key) !== type) return skip(`the key is not of type ${type}`);
  const weakness = keyWeakness(key);
  if (weakness !== null) return skip(weakness);
  return entryOf({ ...at, marker, hosts, type, key, comment: comment.join(' ').trimEnd() });
}

/**
 * OpenSSH ends a marker at the first space of the line, at a tab only where there is no space, and passes over a line
 * whose marker it does not know (check_markers in hostfile.c). So do we, but for a revocation: that one counts.
 */
function takeMarker(
  line: string,
): { readonly marker: Marker | null; readonly rest: string } | { readonly reason: string } {
  if (!line.startsWith('@')) return { marker: null, rest: line };
  const end = line.includes(' ') ? line.indexOf(' ') : line.indexOf('\t');
  const word = end < 0 ? line : line.slice(0, end);
  const rest = line.slice(word.length).replace(/^[ \t]+/, '');
  if (rest.startsWith('@')) return { reason: 'more than one marker' };
  if (word === '@cert-authority') return { marker: 'cert-authority', rest };
  const revoked = /^@revoked[ \t\r]+/.exec(line)?.[0];
  if (revoked !== undefined) return { marker: 'revoked', rest: line.slice(revoked.length) };
  return { reason: `unknown marker ${/^\S+/.exec(word)?.[0] ?? ''}` };
}

/** With its fingerprint, made when somebody wants it: of ten thousand lines a login looks at two. */
function entryOf(line: Omit<KnownHostEntry, 'fingerprint'>): KnownHostEntry {
  let print: string | null = null;
  return {
    ...line,
    get fingerprint() {
      return (print ??= fingerprint(line.key));
    },
  };
}

/** Strict, unlike Buffer.from, which drops what it does not know: also bits behind the last byte must be zero. */
function decodeBase64(text: string): Buffer | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) return null;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

/** |1|salt|hash: HMAC-SHA1 of the name under the salt, both base64 of 20 bytes (HashKnownHosts in ssh_config(5)). */
const hashForm = /^\|1\|[A-Za-z0-9+/]{27}=\|[A-Za-z0-9+/]{27}=$/;

/** OpenSSH has no room for more in one pattern, and takes the whole list as no match (match_pattern_list in match.c). */
const longestPattern = 1022;

/** A to Z only, as OpenSSH: a letter that Unicode turns into one of these must not become another host's name. */
function smallLetters(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : text;
}

/** True when the first field of a line is about the name: by itself, by pattern, or by hash; a negated match wins. */
export function matchesHosts(hosts: string, name: string): boolean {
  if (hosts.startsWith('|')) return matchesHash(hosts, name);
  const lower = smallLetters(name);
  let matched = false;
  for (const written of smallLetters(hosts).split(',')) {
    if (written.length > longestPattern) return false;
    const negated = written.startsWith('!');
    if (!matchesPattern(negated ? written.slice(1) : written, lower)) continue;
    if (negated) return false;
    matched = true;
  }
  return matched;
}

/** True when the name itself stands there, plain or hashed: not by a pattern. */
export function namesExactly(hosts: string, name: string): boolean {
  if (hosts.startsWith('|')) return matchesHash(hosts, name);
  return matchesHosts(hosts, name) && smallLetters(hosts).split(',').includes(smallLetters(name));
}

function matchesHash(hosts: string, name: string): boolean {
  const [, version, salt = '', digest] = hosts.split('|');
  return (
    version === '1' &&
    createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === digest
  );
}

/** `*` any run of characters, `?` one (ssh_config(5), PATTERNS). Linear: a star never goes back further than the last. */
export function matchesPattern(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resume;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/**
 * The name a host's keys stand under, in small letters as OpenSSH looks it up: an alias as it is, else the host with
 * its port in brackets unless that is 22 (put_host_port in OpenSSH's misc.c).
 */
export function hostKeyName(hostname: string, port: number, alias: string | null): string {
  if (alias !== null) return smallLetters(alias);
  const host = smallLetters(hostname);
  return port === 22 ? host : `[${host}]:${port}`;
}

/**
 * "host" of "[host]:port"; null for a name without a port. An alias written like that counts as the host it speaks of,
 * where OpenSSH would look no further.
 */
export function nameWithoutPort(name: string): string | null {
  return /^\[(.+)\]:\d+$/.exec(name)?.[1] ?? null;
}

/** One line of known_hosts, without its line end. `hosts` and `comment` must hold no line break. */
export function formatEntry(entry: {
  readonly marker: Marker | null;
  readonly hosts: string;
  readonly key: Buffer;
  readonly comment?: string;
}): string {
  const fields = [entry.hosts, keyType(entry.key), entry.key.toString('base64')];
  if (entry.marker !== null) fields.unshift(`@${entry.marker}`);
  if (entry.comment !== undefined && entry.comment !== '') fields.push(entry.comment);
  return fields.join(' ');
}

export interface Appended {
  readonly text: string;
  /** Line the key stands on, from 1. */
  readonly line: number;
  /** False: it stood there before. */
  readonly added: boolean;
}

/** Adds a line for the key under exactly this name, unless there is one. */
export function withKey(text: string, name: string, key: Buffer, marker: Marker | null = null): Appended {
  const present = entriesOf(text).find(
    (entry) => entry.marker === marker && entry.key.equals(key) && namesExactly(entry.hosts, name),
  );
  if (present !== undefined) return { text, line: present.line, added: false };
  const whole = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  const line = whole.split('\n').length;
  return { text: `${whole}${formatEntry({ marker, hosts: name, key })}\n`, line, added: true };
}

export interface Removed {
  readonly text: string;
  /** Entries that no longer name the host. */
  readonly removed: readonly KnownHostEntry[];
}

/**
 * Takes the name out of the lines that `which` picks: a line with further names keeps those. Lines that mean the name
 * by a pattern only are left alone, for they speak of other hosts too.
 */
export function withoutName(text: string, name: string, which: (entry: KnownHostEntry) => boolean): Removed {
  const lines = text.split('\n');
  const removed: KnownHostEntry[] = [];
  const kept = new Map<number, string | null>();
  for (const entry of entriesOf(text)) {
    const rest = hostsWithout(entry.hosts, name);
    if (rest === undefined || !which(entry)) continue;
    removed.push(entry);
    kept.set(entry.line, rest === '' ? null : formatEntry({ ...entry, hosts: rest }));
  }
  const changed = lines.flatMap((line, index) => {
    const replacement = kept.get(index + 1);
    if (replacement === undefined) return [line];
    return replacement === null ? [] : [replacement];
  });
  return { text: changed.join('\n'), removed };
}

/** The rest of a first field without the name: '' for nothing, undefined when it does not name it. */
function hostsWithout(hosts: string, name: string): string | undefined {
  if (hosts === name) return '';
  if (!namesExactly(hosts, name)) return undefined;
  if (hosts.startsWith('|')) return '';
  const rest = hosts.split(',').filter((host) => host.toLowerCase() !== name.toLowerCase());
  return rest.some((host) => !host.startsWith('!')) ? rest.join(',') : '';
}

/** Entries of a text that stand under the name, by itself or by a pattern. */
export function entriesUnder(text: string, file: string, name: string): readonly KnownHostEntry[] {
  return parseKnownHosts(text, file).entries.filter(
    (entry) => entry.hosts === name || matchesHosts(entry.hosts, name),
  );
}

function entriesOf(text: string): readonly KnownHostEntry[] {
  return parseKnownHosts(text, '').entries;
}

/** Why a name cannot be written into known_hosts as itself; null when it can. */
export function unwritableName(name: string): string | null {
  if (name === '') return 'it is empty';
  // oxlint-disable-next-line no-control-regex -- exactly these must not get into the file
  if (/[\s\u0000-\u001f\u007f]/.test(name)) return 'it holds a space or a control character';
  if (/[*?,]/.test(name)) return 'it would be read as a pattern';
  return /^[!|#@]/.test(name) ? 'its first character has a meaning of its own in known_hosts' : null;
}
