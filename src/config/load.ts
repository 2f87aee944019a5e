// Reads a config file with all it includes and says what it means. Every command and the supervisor come through here.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { TunnelError, type Hint } from '../errors.ts';
import { readForeignTextNow } from '../files/foreign-file.ts';
import { existsNearby } from '../files/mounts.ts';
import { shellWord } from '../model/shell-word.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { PlaceFacts } from '../paths.ts';
import { readAdhoc, type AdhocTunnels } from './adhoc.ts';
import { accountOf, inEnvironment, type Account } from './account.ts';
import { combine } from './combine.ts';
import { consentDigest, isAllowed } from './consent.ts';
import type { Declared, DeclaredTunnel } from './declared.ts';
import { ConfigError, formatIssue, sortIssues, type ConfigIssue } from './issue.ts';
import { placesOfConfig } from './locate.ts';
import { ownershipHint, readOwned } from '../files/owned.ts';
import { parseFile, type ParsedFile } from './parse.ts';
import { ownPath } from './resolve-host.ts';
import { resolveConfig, secretVariables, type Reader, type Resolved } from './resolve.ts';
import { textLimitBytes } from './source.ts';
import { sshConfigReaders } from './ssh-config/ask.ts';

export interface LoadOptions {
  /** The file is a project file: refuse it unless it is allowed in this state folder (CONFIG_NOT_ALLOWED). */
  readonly allowedIn?: string;
  /** The environment that brings a tunnel up, where that is not the one of `facts`. */
  readonly environmentOf?: EnvironmentOf;
}

export type EnvironmentOf = (tunnel: {
  readonly name: string;
  readonly tags: readonly string[];
  readonly autostart: boolean;
}) => Account['env'];

export interface CheckedConfig {
  readonly ok: boolean;
  /** Null when there are issues. ssh_config is read by our own parser here, since `check` runs nothing. */
  readonly config: ResolvedConfig | null;
  readonly issues: readonly ConfigIssue[];
}

/**
 * What the file means, `ssh -G` asked where there is an ssh.
 * Throws ConfigError (CONFIG_INVALID) with every issue, CONFIG_MISSING, or CONFIG_NOT_ALLOWED.
 */
export async function loadConfig(
  file: string,
  facts: PlaceFacts,
  options: LoadOptions = {},
): Promise<ResolvedConfig> {
  const account = accountOf(facts);
  const { read, declared, left } = declaredAll(file, account);
  if (options.allowedIn !== undefined && !isAllowed(options.allowedIn, file, consentDigest(declared)))
    throw new TunnelError(
      'CONFIG_NOT_ALLOWED',
      `${file} is not allowed yet: it was found in its folder, and somebody else may have written it`,
      { hint: 'tunnel allow' },
    );
  const resolved = await resolve(declared, account, true, options.environmentOf);
  const issues = problemIssues(resolved, read);
  const own = issues.filter((issue) => !isAdhoc(issue, read));
  if (own.length > 0) throw new ConfigError(file, own);
  const gone = [...left, ...issues].map((issue) => `an ad-hoc tunnel is left out: ${formatIssue(issue)}`);
  return { ...resolved.config, warnings: [...resolved.config.warnings, ...gone] };
}

/** What a file of that name with this text would mean; there need not be one. Throws ConfigError with every issue. */
export async function loadText(file: string, text: string, facts: PlaceFacts): Promise<ResolvedConfig> {
  const account = accountOf(facts);
  const read = readFiles(file, account, text);
  const resolved = await resolve(declaredOf(file, read, account), account, true);
  const issues = problemIssues(resolved, read);
  if (issues.length > 0) throw new ConfigError(file, issues);
  return resolved.config;
}

/**
 * Every issue of the file, which is not about ad-hoc tunnels. Runs nothing, needs no consent, asks nobody. Throws
 * CONFIG_MISSING only.
 */
export async function checkConfig(file: string, facts: PlaceFacts): Promise<CheckedConfig> {
  const account = accountOf(facts);
  return checkFiles(readFiles(file, account), account);
}

/** The same with the ad-hoc tunnels, those left out that the config has no place for. */
export async function checkAll(file: string, facts: PlaceFacts): Promise<CheckedConfig> {
  const account = accountOf(facts);
  const { read } = withoutFaulty(readAll(file, account), account);
  const checked = await checkFiles(read, account, true);
  const issues = checked.issues.filter((issue) => !isAdhoc(issue, read));
  return issues.length > 0 ? { ...checked, issues, config: null } : { ...checked, ok: true, issues };
}

/** The issues of these ad-hoc tunnels beside the config, which is judged by itself. Runs nothing. */
export async function checkAdhoc(
  file: string,
  tunnels: AdhocTunnels,
  facts: PlaceFacts,
): Promise<readonly ConfigIssue[]> {
  const account = accountOf(facts);
  const read = readAll(file, account, tunnels);
  const { issues } = await checkFiles(read, account);
  return issues.filter((issue) => isAdhoc(issue, read));
}

/** What `checkConfig` says, as if the file had this text. */
export async function checkText(file: string, text: string, facts: PlaceFacts): Promise<CheckedConfig> {
  const account = accountOf(facts);
  return checkFiles(readFiles(file, account, text), account);
}

/** The config as written, if the file had this text. Throws ConfigError. */
export function declaredText(file: string, text: string, facts: PlaceFacts): Declared {
  const account = accountOf(facts);
  return declaredOf(file, readFiles(file, account, text), account);
}

/** `partly`: the config in spite of issues that leave single tunnels out. */
async function checkFiles(
  read: readonly ParsedFile[],
  account: Account,
  partly = false,
): Promise<CheckedConfig> {
  const combined = combine(read, account);
  if ('issues' in combined) return { ok: false, config: null, issues: combined.issues };
  const resolved = await resolve(combined.config, account, false);
  const issues = problemIssues(resolved, read);
  const ok = issues.length === 0;
  return { ok, config: ok || partly ? resolved.config : null, issues };
}

/** The config as written, for consent. Runs nothing. Throws ConfigError or CONFIG_MISSING. */
export function readDeclared(file: string, facts: PlaceFacts): Declared {
  return declaredAll(file, accountOf(facts)).declared;
}

export interface WrittenTunnel {
  readonly keys: Readonly<Record<string, unknown>>;
  /** Where its relative paths begin. */
  readonly folder: string;
}

/**
 * A tunnel as it is written: in the file, in what it includes, or ad-hoc; null where none has that name. Runs nothing. Throws
 * ConfigError or CONFIG_MISSING.
 */
export function readWritten(name: string, file: string, facts: PlaceFacts): WrittenTunnel | null {
  for (const { file: path, source } of declaredAll(file, accountOf(facts)).read) {
    const { tunnels } = source.value as {
      tunnels?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    };
    const keys = tunnels != null && Object.hasOwn(tunnels, name) ? tunnels[name] : undefined;
    if (keys !== undefined) return { keys, folder: dirname(path) };
  }
  return null;
}

interface Whole {
  readonly read: readonly ParsedFile[];
  readonly declared: Declared;
  /** Issues of ad-hoc tunnels that are left out for them. */
  readonly left: readonly ConfigIssue[];
}

function declaredAll(file: string, account: Account): Whole {
  const { read, left } = withoutFaulty(readAll(file, account), account);
  return { read, left, declared: declaredOf(file, read, account) };
}

function isAdhoc({ file }: ConfigIssue, read: readonly ParsedFile[]): boolean {
  return read.some((each) => each.adhoc === true && each.file === file);
}

/** Ad-hoc tunnels that do not go with the config are left out: a change of the file must not be refused for them. */
function withoutFaulty(read: readonly ParsedFile[], account: Account): Omit<Whole, 'declared'> {
  const adhoc = read.find((each) => each.adhoc === true);
  if (adhoc === undefined) return { read, left: [] };
  const combined = combine(read, account);
  const left = 'issues' in combined ? combined.issues.filter((issue) => isAdhoc(issue, read)) : [];
  if (left.length === 0) return { read, left };
  const { tunnels = {} } = adhoc.source.value as { tunnels?: AdhocTunnels };
  const isFaulty = (name: string): boolean =>
    left.some(({ path }) => `${path}.`.startsWith(`tunnels.${name}.`));
  const kept = Object.fromEntries(Object.entries(tunnels).filter(([name]) => !isFaulty(name)));
  const all = Object.keys(kept).length < Object.keys(tunnels).length;
  const others = read.filter((each) => each !== adhoc);
  return { left, read: all ? [...others, parseAdhoc(adhoc.file, kept)] : others };
}

function parseAdhoc(path: string, tunnels: AdhocTunnels): ParsedFile {
  return { ...parseFile(path, JSON.stringify({ tunnels }), true), adhoc: true };
}

/** A digest of each file that the config is made of, by absolute path; null for one that cannot be read. */
export function readSources(file: string, facts: PlaceFacts): ReadonlyMap<string, string | null> {
  const digests = new Map<string, string | null>();
  const visit = (path: string, included: boolean): void => {
    if (digests.has(path)) return;
    let text: string;
    try {
      text = readForeignTextNow(path);
    } catch {
      digests.set(path, null); // gone or not ours to read: that is a change too
      return;
    }
    digests.set(path, createHash('sha256').update(text).digest('hex'));
    const parsed = parseFile(path, text, included);
    for (const each of parsed.settings.include ?? []) visit(ownPath(each, dirname(path), facts), true);
  };
  visit(file, false);
  return digests;
}

function resolve(
  declared: Declared,
  account: Account,
  run: boolean,
  environmentOf?: EnvironmentOf,
): Promise<Resolved> {
  const secret = secretVariables(declared);
  const readers = sshConfigReaders(run);
  const known = new Map<Account['env'], Reader>();
  const readerIn = (env: Account['env']): Reader => {
    const its = inEnvironment(account, env, secret);
    const reader = known.get(env) ?? { account: its, askSsh: readers(its) };
    known.set(env, reader);
    return reader;
  };
  const readerFor = ({ name, settings }: DeclaredTunnel): Reader => {
    const { tags = [], autostart = true } = settings;
    return readerIn(environmentOf?.({ name, tags, autostart }) ?? account.env);
  };
  return resolveConfig(declared, { ...readerIn(account.env), readerFor, exists: existsNearby });
}

function declaredOf(file: string, read: readonly ParsedFile[], account: Account): Declared {
  const combined = combine(read, account);
  if ('issues' in combined) throw new ConfigError(file, combined.issues);
  return combined.config;
}

function problemIssues({ problems }: Resolved, read: readonly ParsedFile[]): ConfigIssue[] {
  const issues = problems.flatMap(({ path, message }) => {
    const [section, name = ''] = path;
    const holder = read.find(
      ({ settings }) => section === 'tunnels' && Object.hasOwn(settings.tunnels ?? {}, name),
    );
    const own = holder ?? read[0];
    return own === undefined ? [] : [own.source.issue(path, 'value', message)];
  });
  return sortIssues(
    issues,
    read.map(({ file }) => file),
  );
}

/** The files of the config, and behind them its ad-hoc tunnels: with some, the file need not be there. */
function readAll(file: string, account: Account, given?: AdhocTunnels): readonly ParsedFile[] {
  const path = placesOfConfig(file, account).adhoc;
  const tunnels = given ?? readAdhoc(path, account);
  if (Object.keys(tunnels).length === 0) return readFiles(file, account);
  const files = existsSync(file) ? readFiles(file, account) : [parseFile(file, 'tunnels: {}')];
  return [...files, parseAdhoc(path, tunnels)];
}

/** The file and, behind it, what it includes, each once, in the order of the lines that include them. */
function readFiles(file: string, account: Account, text?: string): readonly ParsedFile[] {
  if (text === undefined && !existsSync(file))
    throw new TunnelError('CONFIG_MISSING', `no config, looked at ${file}`, { hint: { command: 'init' } });
  const files: ParsedFile[] = [];
  const visit = (path: string, behind: readonly string[]): void => {
    const parsed =
      text !== undefined && behind.length === 0
        ? parseFile(path, text)
        : readOne(path, behind.length > 0, account);
    const issues: ConfigIssue[] = [];
    files.push({ ...parsed, issues: parsed.issues });
    const place = files.length - 1;
    const isList = Array.isArray((parsed.source.value as { include?: unknown } | null)?.include);
    for (const [index, each] of (parsed.settings.include ?? []).entries()) {
      const next = ownPath(each, dirname(path), account);
      const tell = (message: string, hint: Hint | null = null): unknown =>
        issues.push(parsed.source.issue(isList ? ['include', index] : ['include'], 'value', message, hint));
      if (next === path || behind.includes(next))
        tell(`goes in a circle: ${[...behind, path, next].map((one) => basename(one)).join(' → ')}`);
      else if (files.some((one) => one.file === next)) tell('is included already');
      else if (behind.length > 16) tell('is included too deeply');
      else if (!existsSync(next)) tell('is not there');
      else visit(next, [...behind, path]);
    }
    files[place] = { ...parsed, issues: [...parsed.issues, ...issues] };
  };
  visit(file, []);
  return files;
}

/** Owner and mode are judged before a byte is believed. */
function readOne(path: string, included: boolean, account: Account): ParsedFile {
  const refuse = (message: string, hint: Hint | null): ParsedFile => {
    const empty = parseFile(path, 'tunnels: {}', included);
    return {
      ...empty,
      issues: [{ file: path, line: 1, column: 1, path: '', message, hint }],
      faulty: () => true,
    };
  };
  try {
    const read = readOwned(path, account, textLimitBytes);
    if ('problem' in read) return refuse(read.problem, ownershipHint(path, read.problem));
    // So is all that some editors save as "Unicode".
    if (read.text.includes('\0')) return refuse('is not text in UTF-8', `file ${shellWord(path)}`);
    return parseFile(path, read.text, included);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM';
    return refuse(
      `cannot be read: ${denied ? 'permission denied' : code}`,
      denied ? `ls -l ${shellWord(path)}` : null,
    );
  }
}
