// The service that runs a supervisor from login or boot on: its file written, looked at and removed, and the service manager told.
// Only a file that we wrote is ever changed.
import { existsSync, lstatSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { configIdentity, shortPath } from '../config/locate.ts';
import { TunnelError } from '../errors.ts';
import { replaceFile } from '../files/atomic.ts';
import { runProgram } from '../files/child.ts';
import { errnoWords } from '../files/errno.ts';
import { makeFolders } from '../files/folders.ts';
import { readForeignTextNow } from '../files/foreign-file.ts';
import { passwdUsers } from '../files/passwd.ts';
import { cleanText } from '../model/clean.ts';
import { shellWord } from '../model/shell-word.ts';
import { supervisorPlaces } from '../paths.ts';
import type { Context } from './context.ts';
import { isOurs, programIn, sameService, serviceFile, type ServiceFile } from './service-files.ts';

export interface Service extends ServiceFile {
  readonly system: boolean;
  /** What stands there now. `stale`: ours, and not as it would be written today. */
  readonly state: 'absent' | 'current' | 'stale' | 'foreign';
  /** What the file names of the program and is not there any more. */
  readonly lost: readonly string[];
}

/** The service of a config, as it would be and as it is. Throws USAGE where there is no service manager that we know. */
export function serviceOf(
  context: Pick<Context, 'facts' | 'places' | 'program'>,
  config: string,
  system: boolean,
): Service {
  const { facts, places, program } = context;
  const identity = configIdentity(config);
  const usual = identity === configIdentity(places.defaultConfig);
  const folder = supervisorPlaces(places, identity, facts.platform).folder;
  const file = serviceFile({
    platform: facts.platform,
    home: facts.home,
    env: facts.env,
    program,
    config,
    id: usual ? '' : folder.slice(folder.lastIndexOf('/') + 1),
    user: system ? ownerOf(config) : null,
  });
  if (file === null)
    throw new TunnelError(
      'USAGE',
      `there is no service manager here that tunnel knows, on ${facts.platform}`,
      {
        hint: { command: 'up --foreground', note: 'is what a service has to run' },
      },
    );
  return { ...file, system, ...look(file) };
}

function look(file: ServiceFile): Pick<Service, 'state' | 'lost'> {
  try {
    if (!lstatSync(file.path).isFile()) return { state: 'foreign', lost: [] };
    const there = readForeignTextNow(file.path);
    if (!isOurs(there)) return { state: 'foreign', lost: [] };
    const lost = programIn(there).filter((path) => !existsSync(path));
    return { state: sameService(there, file.text) ? 'current' : 'stale', lost };
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return { state: code === 'ENOENT' || code === 'ENOTDIR' ? 'absent' : 'foreign', lost: [] };
  }
}

/** Who may read what the config names: its owner, by name where the machine knows one. */
function ownerOf(config: string): string {
  let uid = 0;
  try {
    ({ uid } = statSync(config));
  } catch {
    // gone, or in a folder that we may not enter: of a service that is only looked at or removed
  }
  return passwdUsers().find((user) => user.uid === uid)?.name ?? String(uid);
}

/** Answers whether anything had to be written. */
export async function writeService(service: Service, context: Context): Promise<boolean> {
  refuseForeign(service, context);
  if (service.state === 'current') return false;
  try {
    makeFolders(dirname(service.path));
    await replaceFile(service.path, service.text);
  } catch (thrown) {
    throw notWritten(service, thrown);
  }
  return true;
}

export function removeService(service: Service): void {
  try {
    rmSync(service.path, { force: true });
  } catch (thrown) {
    throw notWritten(service, thrown);
  }
}

export function refuseForeign({ state, path }: Service, { facts }: Pick<Context, 'facts'>): void {
  if (state !== 'foreign') return;
  throw new TunnelError('USAGE', `${shortPath(path, facts)} is not ours: nothing is changed`, {
    hint: `cat ${shellWord(path)}    # remove it yourself if it is no longer needed`,
  });
}

function notWritten({ path, system }: Service, thrown: unknown): TunnelError {
  const { code, message } = thrown as NodeJS.ErrnoException;
  return new TunnelError('DAEMON_DOWN', `cannot write the service, ${path}: ${errnoWords(code) ?? message}`, {
    hint: system
      ? 'sudo tunnel service install --system    # with -c and the path of the config'
      : `ls -ld ${shellWord(dirname(path))}    # may you write there?`,
    cause: thrown,
  });
}

const limitMs = 30_000;
const outputLimitBytes = 64 * 1024;

export interface Told {
  readonly ok: boolean;
  /** The first line of what it printed, the first of its complaint where it printed nothing. */
  readonly said: string;
}

/** Calls the service manager. Throws DAEMON_DOWN where there is none. */
export async function tell(
  service: Pick<Service, 'system'>,
  context: Pick<Context, 'facts'>,
  words: readonly string[],
): Promise<Told> {
  const { facts } = context;
  const program =
    facts.platform === 'darwin' ? ['launchctl'] : ['systemctl', ...(service.system ? [] : ['--user'])];
  const argv = [...program, ...words];
  const { ending, output, said } = await runProgram(argv, {
    env: facts.env,
    deadlineMs: limitMs,
    outputLimitBytes,
  });
  const [line = ''] = `${output.toString('utf8').trim() || said.toString('utf8').trim()}`.split('\n');
  if (ending.how === 'not-started')
    throw new TunnelError('DAEMON_DOWN', `no service manager is here: ${program[0]}: ${ending.why.message}`, {
      hint: { command: 'service install --print', note: 'what it would have to run' },
    });
  return {
    ok: ending.how === 'exited' && ending.code === 0,
    said: cleanText(line) || `it ended: ${ending.how}`,
  };
}

/** As `tell`, where it has to succeed. */
export async function order(service: Service, context: Context, words: readonly string[]): Promise<void> {
  const { ok, said } = await tell(service, context, words);
  if (ok) return;
  const program =
    context.facts.platform === 'darwin' ? 'launchctl' : `systemctl${service.system ? '' : ' --user'}`;
  throw new TunnelError('DAEMON_DOWN', `${program} failed, on ${service.name}: ${said}`, {
    hint: `${program} ${words.map(shellWord).join(' ')}`,
  });
}

/** False: what belongs to this user ends when the last session does. Null: it cannot be known. */
export async function lingers({ facts }: Pick<Context, 'facts'>): Promise<boolean | null> {
  if (facts.platform !== 'linux') return null;
  const argv = ['loginctl', 'show-user', String(facts.uid), '--property=Linger', '--value'];
  const { output } = await runProgram(argv, { env: facts.env, deadlineMs: limitMs, outputLimitBytes });
  const said = output.toString('utf8').trim();
  return said === 'yes' ? true : said === 'no' ? false : null;
}
