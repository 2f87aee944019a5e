// ssh_config without ssh: the same files, blocks and order as ssh_config(5), but no `Match exec` and no canonical names. For machines with no ssh.
import { join } from 'node:path';
import { readForeignTextNow } from '../../files/foreign-file.ts';
import type { Account } from '../account.ts';
import { ownershipProblem } from '../../files/owned.ts';
import { includedFiles } from './include.ts';
import { lineProblem } from './keywords.ts';
import { readConfigLines, type ConfigLine } from './lines.ts';
import { matchesHost, matchesMatch, type MatchFacts } from './match.ts';
import {
  changedValues,
  hostnameOf,
  takeLine,
  valuesOfQuery,
  writtenHostname,
  type OpenValues,
} from './values.ts';
import type { SshAnswer, SshFailure, SshQuery } from './ask.ts';
import { trustKeysIn, type SshValues } from './settings.ts';
import { hostOfJump, jumpHops } from './jumps.ts';
import { expandAnyHome, expandTokens, type TokenFacts } from './tokens.ts';

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
    const fail = (problem: string): never => {
      throw new Error(`${where.file}:${line.number}: ${problem}`);
    };
    if ('problem' in line) return fail(line.problem);
    const problem = problemOf(line, reading);
    if (problem !== null) fail(problem);
    switch (line.keyword) {
      case 'host':
        active = within && matchesHost(line.words, hostOf(reading));
        break;
      case 'match':
        active = matchLine(reading, line, within, fail) && within;
        break;
      case 'include':
        include(reading, line, where, active, fail);
        break;
      default:
        if (active && line.keyword === 'refuseconnection') fail(`RefuseConnection ${line.rest}`);
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

function include(
  reading: Reading,
  line: ConfigLine,
  where: Where,
  active: boolean,
  fail: (problem: string) => never,
): void {
  for (const pattern of line.words) {
    if (pattern.startsWith('~') && !where.own) fail(`Include ${pattern}: the system's file has no home`);
    const expanded = expandTokens(pattern, tokensOf(reading));
    if ('problem' in expanded) return fail(expanded.problem);
    for (const file of includedFiles(expanded.text, where.folder, reading.account.home))
      readOne(reading, { ...where, file, depth: where.depth + 1 }, active);
  }
}

/** In the second pass `Host` is compared with the host name that the first one found. */
function hostOf({ finalPass, values, query }: Reading): string {
  return finalPass ? hostnameOf(values, query.alias) : query.alias;
}

function matchLine(
  reading: Reading,
  { words }: ConfigLine,
  within: boolean,
  fail: (problem: string) => never,
): boolean {
  const { account, query, values, finalPass } = reading;
  const facts: MatchFacts = {
    host: writtenHostname(values, query.alias),
    originalHost: query.alias,
    user: userOf(reading),
    localUser: account.user,
    tag: values.get('tag')?.[0] ?? '',
    finalPass,
  };
  const result = matchesMatch(words, facts);
  if ('problem' in result) return fail(result.problem);
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

/** What `ssh -G` shows with ~, tokens and variables filled in; key files it shows as they are written. */
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
