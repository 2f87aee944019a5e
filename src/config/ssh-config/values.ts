// What the lines of ssh_config add up to: the first value counts, key files add up (ssh_config(5)). Pure.
import { opensshDefaults } from '../../keys/algorithms.ts';
import { sshAlgorithms } from '../algorithms.ts';
import { algorithmKeywords, keywordOf } from './keywords.ts';
import type { ConfigLine } from './lines.ts';
import type { SshQuery } from './ask.ts';
import { inSmallLetters, type SshValues } from './settings.ts';

export type OpenValues = Map<string, readonly string[]>;

/** What the command line would have set, which stands above every file. */
export function valuesOfQuery(query: SshQuery): OpenValues {
  const values: OpenValues = new Map();
  if (query.user !== null) values.set('user', [query.user]);
  if (query.port !== null) values.set('port', [String(query.port)]);
  if (query.way === 'given') values.set('proxycommand', ['none']);
  return values;
}

const repeated = ['identityfile', 'certificatefile'];
const lists = ['userknownhostsfile', 'globalknownhostsfile'];
const asWritten = ['proxycommand', 'knownhostscommand', 'proxyjump'];
const times = ['connecttimeout', 'serveraliveinterval'];

/** False: something stood there before, and the line does not count. */
export function takeLine(values: OpenValues, line: ConfigLine): boolean {
  const keyword = keywordOf(line);
  const before = values.get(keyword);
  const [first = ''] = line.words;
  if (repeated.includes(keyword)) {
    if (before?.includes(first) !== true) values.set(keyword, [...(before ?? []), first]);
    return true;
  }
  if (before !== undefined || isSwitchedOff(values, keyword)) return false;
  if (times.includes(keyword) && first === 'none') return false; // says nothing: a later line counts
  values.set(keyword, valueOf(keyword, line, first));
  return true;
}

/** ProxyJump and ProxyCommand: whichever comes first switches the other off; of the two only ProxyCommand by `none` too. */
function isSwitchedOff(values: SshValues, keyword: string): boolean {
  if (keyword === 'proxyjump') return values.has('proxycommand');
  const jump = values.get('proxyjump')?.[0];
  // With a comment behind it ssh does not see that it is `none` (10.0 and before).
  return keyword === 'proxycommand' && jump !== undefined && jump.toLowerCase() !== 'none';
}

function valueOf(keyword: string, { rest, words }: ConfigLine, first: string): readonly string[] {
  // A command keeps its quotes for its shell; ssh takes a second = for a blank.
  if (asWritten.includes(keyword)) return [rest.replace(/^[\s=]+/, '')];
  if (lists.includes(keyword)) return words;
  const kind = algorithmKeywords[keyword];
  return kind === undefined ? [first] : [sshAlgorithms(kind, first).join(',')];
}

/** The host as it would be dialled, after its HostName. In small letters, as ssh goes on with it, unless it is an address. */
export function hostnameOf(values: SshValues, alias: string): string {
  const name = writtenHostname(values, alias);
  return inSmallLetters(name);
}

/** The same in the letters it was written with. Throws for a token that HostName does not know, as ssh does. */
export function writtenHostname(values: SshValues, alias: string): string {
  const written = values.get('hostname')?.[0];
  if (written === undefined) return alias;
  return written.replace(/%(.?)/gs, (whole, token: string) => {
    if (token !== 'h' && token !== '%')
      throw new Error(`HostName ${written}: ${whole} stands for nothing there`);
    return token === 'h' ? alias : '%';
  });
}

/** What ssh would say of a host that nobody configured: such a value counts as unset (SPEC 2). */
const usual: Readonly<Record<string, readonly string[]>> = {
  port: ['22'],
  serveraliveinterval: ['0'],
  serveralivecountmax: ['3'],
  stricthostkeychecking: ['ask'],
  identitiesonly: ['no', 'false'],
  compression: ['no'],
  addressfamily: ['any'],
  requiredrsasize: ['1024'],
};

function isUsual(key: string, value: string): boolean {
  const kind = algorithmKeywords[key];
  if (kind !== undefined) return value === opensshDefaults[kind].join(',');
  return usual[key]?.includes(value.toLowerCase()) === true;
}

/** What somebody set, in the form of `ssh -G`. */
export function changedValues(values: SshValues, query: SshQuery): SshValues {
  const changed: OpenValues = new Map();
  for (const [key, all] of values) {
    const [first = ''] = all;
    if (key === 'hostname') {
      const hostname = hostnameOf(values, query.alias);
      if (hostname !== query.alias.toLowerCase()) changed.set(key, [hostname]);
    } else if (key === 'hostkeyalias') changed.set(key, [first.toLowerCase()]);
    else if ((key === 'user' && query.user !== null) || (key === 'port' && query.port !== null)) continue;
    else if (!isUsual(key, first)) changed.set(key, all);
  }
  return changed;
}
