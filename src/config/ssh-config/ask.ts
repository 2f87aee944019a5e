// ssh_config by OpenSSH itself: `ssh -G -- ALIAS`, less what ssh says of a host that nobody configured (SPEC 2).
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { runProgram } from '../../files/child.ts';
import { readForeignTextNow } from '../../files/foreign-file.ts';
import { createTurns } from '../../model/turns.ts';
import type { Account } from '../account.ts';
import { ownershipProblem } from '../../files/owned.ts';
import { readConfigLines } from './lines.ts';
import { parseSshConfig } from './parser.ts';
import {
  trustKeysIn,
  type AskSsh,
  type SshAnswer,
  type SshFailure,
  type SshQuery,
  type SshValues,
} from './settings.ts';

/** How long ssh may think before its first command, and each command of a `Match exec`, which may ask a network (SPEC 2). */
const answerLimitMs = 60_000;
const outputLimitBytes = 1024 * 1024;
/** What ssh says with -v when it starts one. */
const startsCommand = 'debug1: Executing command: ';
/** Processes at a time. */
const atOnce = 4;

/** Asks `ssh -G` where there is an ssh, else our own parser. Each question is asked once. `run` false: never run ssh. */
export function sshConfigReader(account: Account, run: boolean, limitMs = answerLimitMs): AskSsh {
  return sshConfigReaders(run, limitMs)(account);
}

/** Readers for several environments, which share what does not depend on one: processes at a time, and ssh's own defaults. */
export function sshConfigReaders(run: boolean, limitMs = answerLimitMs): (account: Account) => AskSsh {
  const turn = createTurns(atOnce);
  const defaults = new Map<string, Promise<string | SshFailure>>();
  const runs = (program: string, account: Account): Ssh => {
    const call: Ssh['call'] = (args) => turn(() => runSsh(program, args, account, limitMs));
    return {
      call,
      defaults() {
        const known = defaults.get(program) ?? call(['-F', 'none', '-G', '--', 'tunnel']);
        defaults.set(program, known);
        return known;
      },
    };
  };
  return (account) => {
    const program = run ? findProgram('ssh', account) : null;
    const byParser: AskSsh = (query) => Promise.resolve(parseSshConfig(query, account));
    const asksSsh = program !== null && !onlyParserKnows(account);
    return once(asksSsh ? sshAsker(runs(program, account), account, byParser) : byParser);
  };
}

function once(ask: AskSsh): AskSsh {
  const answers = new Map<string, Promise<SshAnswer | SshFailure>>();
  return (query) => {
    const key = JSON.stringify([query.alias, query.user, query.port, query.way]);
    const known = answers.get(key) ?? ask(query);
    answers.set(key, known);
    return known;
  };
}

/** A program that answers `-G`. */
interface Ssh {
  readonly call: (args: readonly string[]) => Promise<string | SshFailure>;
  /** Its answer for a host that nobody configured. */
  readonly defaults: () => Promise<string | SshFailure>;
}

/**
 * ssh goes by the passwd home, also for Include: where $HOME is another and the file includes by ~ or by a
 * relative name, ssh would read somebody else's files. Where there is no file, nobody needs to be asked.
 */
function onlyParserKnows(account: Account): boolean {
  if (account.home === account.passwdHome) return false;
  try {
    return readConfigLines(readForeignTextNow(userConfig(account))).some(
      (line) =>
        'words' in line && line.keyword === 'include' && line.words.some((file) => !file.startsWith('/')),
    );
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

const userConfig = (account: Account): string => join(account.home, '.ssh', 'config');

function sshAsker(ssh: Ssh, account: Account, byParser: AskSsh): AskSsh {
  const { call } = ssh;
  const own = account.home === account.passwdHome ? null : userConfig(account);
  const files = own === null ? [] : ['-F', own];
  return async (query) => {
    const as = [
      ...(query.user === null ? [] : ['-l', query.user]),
      ...(query.port === null ? [] : ['-p', String(query.port)]),
      ...(query.way === undefined ? [] : ['-o', 'ProxyCommand=none']),
    ];
    // ssh asks this of its usual file, but not of one that it is handed.
    const problem = own === null ? null : ownershipProblem(own, account);
    const [untouched, said] = await Promise.all([
      ssh.defaults(),
      problem === null ? call([...files, ...as, '-G', '--', query.alias]) : { failure: `${own} ${problem}` },
    ]);
    // An ssh that cannot even say its defaults (no passwd entry for this uid, too old for -G) is no help.
    if (typeof untouched !== 'string') return byParser(query);
    if (typeof said !== 'string') return said;
    const defaults = readOutput(untouched);
    const values = changed(readOutput(said), defaults, query, account);
    const trust = trustKeysIn(values);
    if (trust.length === 0) return answer(values, trust, []);
    // Whose are they? Distributions set some of them for everybody (Fedora's crypto policies).
    const users = own ?? userConfig(account);
    const alone = existsSync(users) ? await call(['-F', users, ...as, '-G', '--', query.alias]) : '';
    const mine =
      typeof alone !== 'string' ? trust : trustKeysIn(changed(readOutput(alone), defaults, query, account));
    return answer(values, alone === '' ? [] : mine, trust);
  };
}

function answer(values: SshValues, user: readonly string[], all: readonly string[]): SshAnswer {
  return { values, unsupported: { user, system: all.filter((key) => !user.includes(key)) }, warnings: [] };
}

/** Lines of `ssh -G`: a lower-case key, a space, a value. */
export function readOutput(output: string): SshValues {
  const values = new Map<string, string[]>();
  for (const line of output.split('\n')) {
    const at = line.indexOf(' ');
    if (at <= 0) continue;
    const key = line.slice(0, at).toLowerCase();
    const value = line.slice(at + 1).trim();
    const list = key === 'userknownhostsfile' || key === 'globalknownhostsfile';
    values.set(key, [...(values.get(key) ?? []), ...(list ? splitPaths(value) : [value])]);
  }
  return values;
}

/** ssh prints paths without quotes, made absolute: what does not begin like one goes on with the one before. */
function splitPaths(value: string): string[] {
  const paths: string[] = [];
  for (const part of value.split(' ')) {
    const last = paths.pop();
    if (last === undefined) paths.push(part);
    else if (/^(\/|~|[A-Za-z]:|none$)/.test(part)) paths.push(last, part);
    else paths.push(`${last} ${part}`);
  }
  return paths;
}

/** The values that somebody set: all that differ from the untouched answer. */
function changed(said: SshValues, defaults: SshValues, query: SshQuery, account: Account): SshValues {
  const left = new Map<string, readonly string[]>();
  for (const [key, values] of said) {
    const usual = key === 'hostname' || key === 'host' ? [query.alias.toLowerCase()] : defaults.get(key);
    const same = usual?.length === values.length && usual.every((each, index) => each === values[index]);
    const asked = (key === 'user' && query.user !== null) || (key === 'port' && query.port !== null);
    if (!same && !asked && key !== 'host')
      left.set(
        key,
        values.map((value) => inHome(key, value, account)),
      );
  }
  return left;
}

/** ssh made ~ the passwd home in these; it is $HOME everywhere (SPEC 2). */
function inHome(key: string, value: string, { home, passwdHome }: Account): string {
  if (key !== 'userknownhostsfile' && key !== 'identityagent') return value;
  if (passwdHome === null || passwdHome === '/' || passwdHome === home) return value;
  return value.startsWith(`${passwdHome}/`) ? join(home, value.slice(passwdHome.length)) : value;
}

async function runSsh(
  program: string,
  args: readonly string[],
  account: Account,
  limitMs: number,
): Promise<string | SshFailure> {
  // -N -T: a tunnel is a session without shell (Match sessiontype). -vv: it says which Match line it is at.
  const { ending, output, said } = await runProgram([program, '-N', '-T', '-vv', ...args], {
    env: account.env,
    deadlineMs: limitMs,
    newDeadlineAt: startsCommand,
    outputLimitBytes,
    saidLimitBytes: outputLimitBytes,
  });
  const words = said.toString('utf8').split(/\r?\n/);
  switch (ending.how) {
    case 'exited':
      if (ending.code === 0) return output.toString('utf8');
      return { failure: complaintOf(words) || `ssh -G ended with ${ending.code}` };
    case 'late':
      return { failure: lateAt(words, `${limitMs / 1000} s`) };
    case 'too-much':
      return { failure: 'ssh -G said more than it should' };
    case 'not-started':
      return { failure: `ssh did not start: ${ending.why.message}` };
    case 'killed':
      return { failure: `ssh -G was ended by ${ending.by}` };
    case 'unwanted':
      return { failure: 'ssh -G is no longer wanted' };
  }
}

/** The words that say where, with those that say why in front of them: "FILE line 3: Bad Match condition (Missing …)". */
function complaintOf(said: readonly string[]): string {
  const lines = said
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(Pseudo-terminal|OpenSSH_|debug[123]: )/.test(line));
  const place = lines.findIndex((line) => / line \d+:/.test(line));
  if (place <= 0) return lines[0] ?? '';
  return `${lines[place]} (${lines.slice(0, place).join('; ')})`;
}

/** The Match line that ssh was at when its time was over: it says its text and the files it read, the last one last. */
function lateAt(said: readonly string[], limit: string): string {
  const at = said.findLastIndex((line) => line.startsWith(startsCommand));
  const match = said.slice(0, at).findLast((line) => line.startsWith('debug2: checking match for '));
  const written = match === undefined ? undefined : /^[^']*'(.*)' host /.exec(match)?.[1];
  if (written === undefined) return `ssh -G gave no answer in ${limit}`;
  const files = said.flatMap((line) => /^debug1: Reading configuration data (.*)$/.exec(line)?.[1] ?? []);
  const found = files.toReversed().flatMap((file) => matchLineIn(file, written));
  return `${found[0] ?? files.at(-1) ?? 'ssh_config'}: Match ${written} took longer than ${limit}`;
}

function matchLineIn(file: string, written: string): readonly string[] {
  try {
    return readConfigLines(readForeignTextNow(file)).flatMap((line) =>
      'rest' in line && line.keyword === 'match' && line.rest === written ? [`${file}:${line.number}`] : [],
    );
  } catch {
    return []; // it was there when ssh read it
  }
}

/** An executable file of that name on PATH, or null. */
function findProgram(name: string, { env, platform }: Account): string | null {
  const names = platform === 'win32' ? [`${name}.exe`] : [name];
  for (const folder of (env['PATH'] ?? env['Path'] ?? '').split(delimiter)) {
    if (!isAbsolute(folder)) continue;
    for (const each of names) if (isProgram(join(folder, each))) return join(folder, each);
  }
  return null;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // not there, or not ours to run
  }
}
