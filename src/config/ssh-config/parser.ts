// ssh_config without ssh, for machines with none: the same files, blocks and order as ssh_config(5), but no `Match exec` and no canonical names.
import { join } from 'node:path';
import type { Account } from '../account.ts';
import { sshAlgorithms } from '../algorithms.ts';
import {
  type SshAnswer,
  type SshFailure,
  type SshQuery,
  hostOfJump,
  jumpHops,
  trustKeysIn,
  type SshValues,
  inSmallLetters,
} from './settings.ts';
import { includedFiles } from './included-files.ts';
import { lineProblem, algorithmKeywords, keywordOf } from './keywords.ts';
import { readConfigLines, type ConfigLine } from './lines.ts';
import { matchesHost, matchesMatch, type MatchFacts } from './match.ts';
import { expandAnyHome, expandTokens, type TokenFacts } from './tokens.ts';
import { readForeignTextNow } from '../../files/foreign-file.ts';
import { ownershipProblem } from '../../files/owned.ts';
import { opensshDefaults } from '../../keys/algorithms.ts';

/** OpenSSH's own limit for files that include files. */
const includeDepth = 16;

interface Reading {
  readonly query: SshQuery;
  readonly account: Account;
  readonly values: OpenValues;
  readonly warnings: Set<string>;
  readonly finalPass: boolean;
  /** Set when a `Match final` or a canonical name asks for a second pass. */
  wantsFinal: boolean;
}

/** Reads ~/.ssh/config and /etc/ssh/ssh_config for one alias. Runs nothing. Fails with FILE:LINE where ssh would refuse a line. */
export function parseSshConfig(query: SshQuery, account: Account): SshAnswer | SshFailure {
  const reading = newReading(query, account, false);
  try {
    readFiles(reading);
    if (reading.wantsFinal) readAgain(reading);
    expandUser(reading);
    expandPaths(reading);
    const own = changedValues(reading.values, query);
    const trust = trustKeysIn(own);
    const mine = trust.length === 0 ? [] : trustKeysIn(userValues(query, account));
    return {
      values: own,
      unsupported: { user: mine, system: trust.filter((key) => !mine.includes(key)) },
      warnings: [...reading.warnings],
    };
  } catch (thrown) {
    return { failure: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

function newReading(query: SshQuery, account: Account, finalPass: boolean): Reading {
  const values = valuesOfQuery(query);
  return { query, account, values, warnings: new Set(), finalPass, wantsFinal: false };
}

/** The second pass: what was found stands, the host name too. */
function readAgain(first: Reading): void {
  first.values.set('hostname', [hostnameOf(first.values, first.query.alias).replaceAll('%', '%%')]);
  readFiles({ ...first, finalPass: true });
}

interface Where {
  readonly file: string;
  /** Where relative names in Include begin. */
  readonly folder: string;
  /** The user's own, or what it includes. */
  readonly own: boolean;
  readonly depth: number;
}

function ownFile({ home }: Account): Where {
  return { file: join(home, '.ssh', 'config'), folder: join(home, '.ssh'), own: true, depth: 0 };
}
const systemFile: Where = { file: '/etc/ssh/ssh_config', folder: '/etc/ssh', own: false, depth: 0 };

function readFiles(reading: Reading): void {
  const { account } = reading;
  readOne(reading, ownFile(account), true);
  // As with `ssh -F`, which is what is run where $HOME is not the passwd home: then the system's file does not count.
  if (account.home === account.passwdHome) readOne(reading, systemFile, true);
}

/** The user's own file alone: to tell whose a key is. */
function userValues(query: SshQuery, account: Account): SshValues {
  const reading = newReading(query, account, true);
  readOne(reading, ownFile(account), true);
  return changedValues(reading.values, query);
}

function readOne(reading: Reading, where: Where, active: boolean): void {
  const { file, depth } = where;
  if (depth > includeDepth) throw new Error(`${file}: too many files include each other`);
  let text: string;
  try {
    text = readForeignTextNow(file);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || (depth > 0 && code === 'EISDIR')) return; // as ssh: what is not there says nothing
    throw new Error(`${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const problem = ownershipProblem(file, reading.account);
  if (problem !== null) throw new Error(`${file} ${problem}`);
  readLines(reading, text, where, active);
}

/** Every line is looked at, since ssh refuses a file for a bad line anywhere. `within`: the file itself is included by a block that applies. */
function readLines(reading: Reading, text: string, where: Where, within: boolean): void {
  let active = within;
  for (const line of readConfigLines(text)) {
    if ('problem' in line) return refuse(where, line, line.problem);
    const problem = problemOf(line, reading);
    if (problem !== null) refuse(where, line, problem);
    switch (line.keyword) {
      case 'host':
        active = within && matchesHost(line.words, hostOf(reading));
        break;
      case 'match':
        active = matchLine(reading, line, where, within) && within;
        break;
      case 'include':
        include(reading, line, where, active);
        break;
      default:
        if (active && line.keyword === 'refuseconnection')
          refuse(where, line, `RefuseConnection ${line.rest}`);
        if (active) take(reading, line);
    }
  }
}

function problemOf(line: ConfigLine, { values, account }: Reading): string | null {
  const problem = lineProblem(line, values.get('ignoreunknown')?.[0] ?? null);
  if (problem !== null || line.keyword !== 'identityagent') return problem;
  const [value = ''] = line.words;
  if (/^\$(?!\{|\w+$)/.test(value)) return `${value} is no name of a variable`;
  const unset = [...value.matchAll(/\$\{([^}]*)\}/g)].find(
    ([, name = '']) => account.env[name] === undefined,
  );
  return unset === undefined ? null : `${unset[0]} is not set`;
}

function take(reading: Reading, line: ConfigLine): void {
  if (!takeLine(reading.values, line)) return;
  const [value = ''] = line.words;
  if (line.keyword !== 'canonicalizehostname' || ['no', 'false'].includes(value.toLowerCase())) return;
  const { alias } = reading.query;
  reading.warnings.add(`ssh_config: CanonicalizeHostname is not done for ${alias}: there is no ssh to ask`);
  reading.wantsFinal = true;
}

/** As ssh, for a line that it would not take: the whole file is none. */
function refuse({ file }: Where, { number }: { readonly number: number }, problem: string): never {
  throw new Error(`${file}:${number}: ${problem}`);
}

function include(reading: Reading, line: ConfigLine, where: Where, active: boolean): void {
  for (const pattern of line.words) {
    if (pattern.startsWith('~') && !where.own)
      refuse(where, line, `Include ${pattern}: the system's file has no home`);
    const expanded = expandTokens(pattern, tokensOf(reading));
    if ('problem' in expanded) return refuse(where, line, expanded.problem);
    for (const file of includedFiles(expanded.text, where.folder, reading.account.home))
      readOne(reading, { ...where, file, depth: where.depth + 1 }, active);
  }
}

/** In the second pass `Host` is compared with the host name that the first one found. */
function hostOf({ finalPass, values, query }: Reading): string {
  return finalPass ? hostnameOf(values, query.alias) : query.alias;
}

function matchLine(reading: Reading, line: ConfigLine, where: Where, within: boolean): boolean {
  const { account, query, values, finalPass } = reading;
  const facts: MatchFacts = {
    host: writtenHostname(values, query.alias),
    originalHost: query.alias,
    user: userOf(reading),
    localUser: account.user,
    tag: values.get('tag')?.[0] ?? '',
    finalPass,
  };
  const result = matchesMatch(line.words, facts);
  if ('problem' in result) return refuse(where, line, result.problem);
  if (result.wantsFinal) reading.wantsFinal = true;
  for (const skipped of within ? result.skipped : [])
    reading.warnings.add(
      `ssh_config: a "Match ${skipped}" block was skipped for ${query.alias}: there is no ssh to ask`,
    );
  return result.matches;
}

const userOf = ({ values, account }: Reading): string => values.get('user')?.[0] ?? account.user;

function tokensOf(reading: Reading): TokenFacts {
  const { account, query, values } = reading;
  return {
    home: account.home,
    localUser: account.user,
    uid: account.uid,
    localHost: account.hostname,
    alias: query.alias,
    hostname: writtenHostname(values, query.alias),
    port: Number(values.get('port')?.[0] ?? 22),
    user: userOf(reading),
    jump: '',
    hostKeyAlias: values.get('hostkeyalias')?.[0] ?? null,
    env: account.env,
  };
}

/** OpenSSH 10 fills tokens into User. */
function expandUser(reading: Reading): void {
  const { values, query } = reading;
  const written = values.get('user')?.[0];
  if (written === undefined || query.user !== null) return;
  const expanded = expandTokens(written, tokensOf(reading));
  if ('problem' in expanded) throw new Error(`User ${written}: ${expanded.problem}`);
  values.set('user', [expanded.text]);
}

/** Fills in the values that `ssh -G` shows with ~, tokens and variables filled in; key files stay as they are written. */
function expandPaths(reading: Reading): void {
  const { values, query, account } = reading;
  const jump = values.get('proxyjump')?.[0];
  const facts = {
    ...tokensOf(reading),
    hostname: hostnameOf(values, query.alias),
    jump: jump === undefined ? '' : hostOfJump(jumpHops(jump)?.at(-1) ?? ''),
  };
  const expand = (key: string, path: string): string => {
    if (/^none$/i.test(path) || (key === 'identityagent' && /^(SSH_AUTH_SOCK|\$\w+)$/.test(path)))
      return path;
    const expanded = expandTokens(expandAnyHome(path, account.home), facts);
    if ('problem' in expanded) throw new Error(`${key} ${path}: ${expanded.problem}`);
    if (expanded.text.startsWith('~')) throw new Error(`${key} ${path}: there is no such user here`);
    return expanded.text;
  };
  for (const key of ['userknownhostsfile', 'identityagent']) {
    const written = values.get(key);
    if (written !== undefined)
      values.set(
        key,
        written.map((path) => expand(key, path)),
      );
  }
}

type OpenValues = Map<string, readonly string[]>;

/** The values that ssh's command line would set, which stand above every file. */
function valuesOfQuery(query: SshQuery): OpenValues {
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
function takeLine(values: OpenValues, line: ConfigLine): boolean {
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
function hostnameOf(values: SshValues, alias: string): string {
  const name = writtenHostname(values, alias);
  return inSmallLetters(name);
}

/** The same in the letters it was written with. Throws for a token that HostName does not know, as ssh does. */
function writtenHostname(values: SshValues, alias: string): string {
  const written = values.get('hostname')?.[0];
  if (written === undefined) return alias;
  return written.replace(/%(.?)/gs, (whole, token: string) => {
    if (token !== 'h' && token !== '%')
      throw new Error(`HostName ${written}: ${whole} stands for nothing there`);
    return token === 'h' ? alias : '%';
  });
}

/** The values ssh has for a host that nobody configured: they count as unset (SPEC 2). */
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

/** The values that somebody set, in the form of `ssh -G`. */
function changedValues(values: SshValues, query: SshQuery): SshValues {
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
