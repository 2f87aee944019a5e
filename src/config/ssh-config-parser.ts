// ssh_config without ssh: the same files, blocks and order as ssh_config(5), but no `Match exec` and no canonical names. For machines with no ssh.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import SSHConfig from 'ssh-config';
import type { Account } from './account.ts';
import { applyAlgorithms, defaultAlgorithms, type AlgorithmKind } from './algorithms.ts';
import { ownershipProblem } from './ownership.ts';
import { includedFiles } from './ssh-config-include.ts';
import { matchesHost, matchesMatch, type MatchFacts } from './ssh-config-match.ts';
import type { SshAnswer, SshFailure, SshQuery } from './ssh-config.ts';
import { trustKeysIn, type SshValues } from './ssh-settings.ts';

type Line = SSHConfig[number];
type Directive = Extract<Line, { param: string }>;

/** OpenSSH's own limit for files that include files. */
const includeDepth = 16;

interface Reading {
  readonly query: SshQuery;
  readonly account: Account;
  readonly values: Map<string, readonly string[]>;
  readonly warnings: Set<string>;
  readonly finalPass: boolean;
  /** Set when a `Match final` asks for a second pass. */
  wantsFinal: boolean;
}

/** Reads ~/.ssh/config and /etc/ssh/ssh_config for one alias. Runs nothing. */
export function parseSshConfig(query: SshQuery, account: Account): SshAnswer | SshFailure {
  const values = new Map<string, readonly string[]>();
  if (query.user !== null) values.set('user', [query.user]);
  if (query.port !== null) values.set('port', [String(query.port)]);
  const warnings = new Set<string>();
  try {
    const first: Reading = { query, account, values, warnings, finalPass: false, wantsFinal: false };
    readFiles(first);
    if (first.wantsFinal) readFiles({ ...first, finalPass: true });
    const own = changedValues(values, query);
    const trust = trustKeysIn(own);
    const mine = trust.length === 0 ? [] : trustKeysIn(userValues(query, account));
    return {
      values: own,
      unsupported: { user: mine, system: trust.filter((key) => !mine.includes(key)) },
      warnings: [...warnings],
    };
  } catch (thrown) {
    return { failure: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

const userFile = (account: Account): string => join(account.home, '.ssh', 'config');
const userFolder = (account: Account): string => join(account.home, '.ssh');
const systemFolder = '/etc/ssh';

function readFiles(reading: Reading): void {
  const { account } = reading;
  readOne(reading, userFile(account), userFolder(account), true, 0);
  // As with `ssh -F`, which is what is run where $HOME is not the passwd home: then the system's file does not count.
  if (account.home !== account.passwdHome) return;
  readOne(reading, join(systemFolder, 'ssh_config'), systemFolder, true, 0);
}

/** The user's own file alone: to tell whose a key is. */
function userValues(query: SshQuery, account: Account): SshValues {
  const reading: Reading = {
    query,
    account,
    values: new Map(),
    warnings: new Set(),
    finalPass: true,
    wantsFinal: false,
  };
  readOne(reading, userFile(account), userFolder(account), true, 0);
  return changedValues(reading.values, query);
}

function readOne(reading: Reading, file: string, folder: string, active: boolean, depth: number): void {
  if (depth > includeDepth) throw new Error(`${file}: too many files include each other`);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (depth > 0 || (error as NodeJS.ErrnoException).code === 'ENOENT') return; // as ssh: what is not there says nothing
    throw new Error(`${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const problem = ownershipProblem(file, reading.account);
  if (problem !== null) throw new Error(`${file} ${problem}`);
  readLines(reading, parseLines(file, text), { file, folder, depth }, active);
}

function parseLines(file: string, text: string): SSHConfig {
  try {
    return SSHConfig.parse(text);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
  }
}

interface Where {
  readonly file: string;
  readonly folder: string;
  readonly depth: number;
}

function readLines(reading: Reading, lines: readonly Line[], where: Where, active: boolean): void {
  for (const line of lines) {
    if (line.type !== SSHConfig.DIRECTIVE) continue;
    const key = line.param.toLowerCase();
    const words = wordsOf(line);
    if (key === 'host' || key === 'match') {
      const inside = 'config' in line ? line.config : [];
      const applies = key === 'host' ? matchesHost(words, hostOf(reading)) : matchLine(reading, words);
      if (active && applies) readLines(reading, inside, where, true);
    } else if (key === 'include') {
      if (active) include(reading, words, where);
    } else if (active) take(reading, key, line);
  }
}

function include(reading: Reading, patterns: readonly string[], where: Where): void {
  for (const pattern of patterns)
    for (const file of includedFiles(pattern, where.folder, reading.account.home))
      readOne(reading, file, where.folder, true, where.depth + 1);
}

/** In the second pass `Host` is compared with the host name that the first one found. */
function hostOf(reading: Reading): string {
  return reading.finalPass ? hostnameOf(reading) : reading.query.alias;
}

function hostnameOf({ values, query }: Reading): string {
  const written = values.get('hostname')?.[0];
  return written === undefined ? query.alias : expandHostname(written, query.alias);
}

function expandHostname(written: string, alias: string): string {
  return written.replace(/%([h%])/g, (_, token) => (token === 'h' ? alias : '%'));
}

function matchLine(reading: Reading, words: readonly string[]): boolean {
  const { account, query, values } = reading;
  const facts: MatchFacts = {
    host: hostnameOf(reading),
    originalHost: query.alias,
    user: values.get('user')?.[0] ?? account.user,
    localUser: account.user,
    finalPass: reading.finalPass,
  };
  const result = matchesMatch(words, facts);
  if (result.wantsFinal) reading.wantsFinal = true;
  for (const skipped of result.skipped)
    reading.warnings.add(
      `ssh_config: a "Match ${skipped}" block was skipped for ${query.alias}: there is no ssh to ask`,
    );
  return result.matches;
}

const repeated = ['identityfile', 'certificatefile'];
const lists = ['userknownhostsfile', 'globalknownhostsfile'];
const algorithms: Readonly<Record<string, AlgorithmKind>> = {
  ciphers: 'cipher',
  kexalgorithms: 'kex',
  macs: 'mac',
  hostkeyalgorithms: 'hostKey',
  pubkeyacceptedalgorithms: 'pubkey',
  pubkeyacceptedkeytypes: 'pubkey',
};

/** The first value counts; key files add up (ssh_config(5)). */
function take({ values, warnings, query }: Reading, key: string, line: Directive): void {
  const words = wordsOf(line);
  const text = textOf(line);
  if (key === 'canonicalizehostname' && !['no', 'false', 'none'].includes(text.toLowerCase()))
    warnings.add(`ssh_config: CanonicalizeHostname is not done for ${query.alias}: there is no ssh to ask`);
  const before = values.get(key);
  if (repeated.includes(key)) {
    if (before?.includes(text) !== true) values.set(key, [...(before ?? []), text]);
    return;
  }
  // ProxyJump and ProxyCommand: whichever comes first switches the other off.
  const rival = { proxyjump: 'proxycommand', proxycommand: 'proxyjump' }[key];
  if (before !== undefined || (rival !== undefined && values.has(rival))) return;
  const kind = algorithms[key];
  if (kind !== undefined) values.set(key, [applyAlgorithms(text, defaultAlgorithms[kind]).join(',')]);
  else values.set(key, lists.includes(key) ? words : [text]);
}

function wordsOf(line: Directive): string[] {
  return typeof line.value === 'string' ? [line.value] : line.value.map(({ val }) => val);
}

/** The value as one text; a command keeps the quotes that its shell needs. */
function textOf(line: Directive): string {
  if (typeof line.value === 'string') return line.value;
  return line.value.map(({ val, quoted }) => (quoted === true ? `"${val}"` : val)).join(' ');
}

/** What ssh would say of a host that nobody configured: such a value counts as unset (SPEC 2). */
const usual: Readonly<Record<string, readonly string[]>> = {
  port: ['22'],
  serveraliveinterval: ['0'],
  serveralivecountmax: ['3'],
  stricthostkeychecking: ['ask'],
  connecttimeout: ['none', '0'],
  identitiesonly: ['no', 'false'],
  compression: ['no', 'false'],
  addressfamily: ['any'],
  requiredrsasize: ['1024'],
};

function changedValues(values: ReadonlyMap<string, readonly string[]>, query: SshQuery): SshValues {
  const changed = new Map<string, readonly string[]>();
  for (const [key, all] of values) {
    const [first = ''] = all;
    if (key === 'hostname') {
      const hostname = expandHostname(first, query.alias).toLowerCase();
      if (hostname !== query.alias.toLowerCase()) changed.set(key, [hostname]);
    } else if (key === 'hostkeyalias') changed.set(key, [first.toLowerCase()]);
    else if ((key === 'user' && query.user !== null) || (key === 'port' && query.port !== null)) continue;
    else if (usual[key]?.includes(first.toLowerCase()) !== true) changed.set(key, all);
  }
  return changed;
}
