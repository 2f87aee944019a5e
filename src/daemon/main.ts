// The supervisor's process: the place where all parts meet. With cli/main and cli/context the only reader of `process`.
import { asTunnelError, reportError, TunnelError } from '../errors.ts';
import { processFacts } from '../files/process-facts.ts';
import { systemFailure } from '../files/errno.ts';
import { systemClock } from '../model/clock.ts';
import { processIsOurs } from '../model/reading.ts';
import { wipeReusedMemory } from '../model/reused-memory.ts';
import type { CallerEnvironment } from '../model/session.ts';
import { placesOf, type PlaceFacts, type Places, type SupervisorPlaces } from '../paths.ts';
import { callerEnvironment } from '../model/environment.ts';
import { prepareStateFolders, readOnlyState } from '../files/folders.ts';
import { placesOfConfig } from '../config/locate.ts';
import {
  countingLog,
  openFileLog,
  openLineLog,
  openTerminalLog,
  stackOf,
  outlivedLog,
  teeLog,
  type Log,
  type OutlivedLog,
  type LogLevel,
} from './log.ts';
import { claim, SupervisorLock, type Claim } from './claim.ts';
import type { Loading } from './config-source.ts';
import { openHandoverPipe, type FromNew, type FromOld } from './handover-messages.ts';
import { receivePredecessor, type Predecessor } from './predecessor.ts';
import {
  handedOverArgument,
  launchEnvironment,
  openReadyPipe,
  projectArgument,
  type SayReady,
} from '../control/launch-pipe.ts';
import { leave, refuseDebugger } from './signals.ts';
import { stopCommand } from '../control/stop-command.ts';
import type { Foreground } from './life-parts.ts';
import { live } from './supervise.ts';
import { readWanted } from '../control/wanted.ts';
import { wire, type Wired } from './wiring.ts';

/** `__supervise CONFIG`: the supervisor in the background, as launch.ts starts it. Answers the exit code. */
export async function superviseCommand(argv: readonly string[]): Promise<number> {
  refuseDebugger();
  const [config] = argv;
  if (config === undefined)
    throw new TunnelError('USAGE', 'the supervisor cannot start: no config was named');
  const sayReady = openReadyPipe(argv);
  const project = argv.includes(projectArgument);
  let predecessor: Predecessor | null = null;
  let code = 1;
  try {
    const launchedIn = launchEnvironment(argv);
    const facts = processFacts();
    if (argv.includes(handedOverArgument))
      predecessor = await receivePredecessor(openHandoverPipe<FromOld, FromNew>(process));
    code = await run({ config, project, facts, foreground: null, launchedIn, sayReady, predecessor });
  } catch (thrown) {
    const error = asTunnelError(thrown);
    sayReady({ kind: 'failed', error: reportError(error) });
    predecessor?.failed(error);
  }
  // Nothing that is still open may keep a supervisor that has ended.
  leave(code);
}

export interface ForegroundOptions extends Foreground {
  /** Absolute path of the config. */
  readonly config: string;
  /** Found in the current folder: its content must have been allowed. */
  readonly project: boolean;
  readonly facts: PlaceFacts;
  /** Where the log goes, for people. */
  readonly stderr: NodeJS.WritableStream;
  readonly verbose: boolean;
  /** The log as JSON lines. */
  readonly json?: boolean;
}

/**
 * `tunnel up --foreground`: lives in this process until SIGINT or SIGTERM. Answers the exit code.
 * Throws CONFIG_…, NO_SUCH_TUNNEL, or DAEMON_DOWN when another supervisor serves the config.
 */
export async function superviseHere(options: ForegroundOptions): Promise<number> {
  const background = { launchedIn: null, sayReady: () => undefined, predecessor: null };
  const code = await run({ ...options, ...background, foreground: options });
  setTimeout(() => leave(code), 500).unref(); // when something that was left open keeps the process
  return code;
}

interface RunOptions {
  readonly config: string;
  readonly project: boolean;
  readonly facts: PlaceFacts;
  readonly foreground: ForegroundOptions | null;
  /** The environment of the command that started us in the background. */
  readonly launchedIn: CallerEnvironment | null;
  readonly sayReady: SayReady;
  /** The supervisor that this one replaces; null for none. */
  readonly predecessor: Predecessor | null;
}

async function run(options: RunOptions): Promise<number> {
  refuseDebugger();
  process.umask(0o077);
  processIsOurs();
  const { config, facts, foreground, sayReady } = options;
  if (facts.env['TUNNEL_WIPE_MEMORY'] === '1') wipeReusedMemory();
  const places = placesOf(facts);
  const at = placesOfConfig(config, facts);
  const writable = prepareStateFolders(places, at, facts);
  if (!writable && foreground === null) throw readOnlyState(at);
  const claimed = await claimFor(options, at, writable).catch((thrown: unknown) => {
    throw systemFailure(thrown, 'supervisor start', at.folder);
  });
  if (claimed.kind === 'held') {
    if (foreground !== null) throw alreadyServed(config, claimed.pid);
    sayReady(claimed);
    return 4;
  }
  const { lock } = claimed;
  const log = openLog(at.log, writable, facts, foreground);
  try {
    return await serve(options, { places, at, writable, log, lock });
  } catch (thrown) {
    const error = asTunnelError(systemFailure(thrown, 'supervisor start', at.folder));
    // In the foreground the command tells it on the same stderr.
    const about = error.code === 'INTERNAL' ? { stack: stackOf(error) } : { code: error.code };
    if (foreground === null) log.last('error', 'start', error.message, about);
    throw error;
  } finally {
    lock.release();
  }
}

/** Whoever replaces another supervisor takes the lock from it, once all is ready. */
function claimFor(
  { facts, foreground, predecessor }: RunOptions,
  at: SupervisorPlaces,
  writable: boolean,
): Promise<Claim> {
  if (predecessor !== null) return Promise.resolve({ kind: 'ours', lock: new SupervisorLock(at, facts) });
  return claim(at, facts, { writable, wait: foreground !== null });
}

/** What a supervisor stands on once the config is its own. */
interface Ground {
  readonly places: Places;
  readonly at: SupervisorPlaces;
  readonly writable: boolean;
  readonly log: OutlivedLog;
  readonly lock: SupervisorLock;
}

async function serve(options: RunOptions, ground: Ground): Promise<number> {
  const { facts, foreground, launchedIn, sayReady, predecessor } = options;
  const { at, writable, log } = ground;
  if (!writable) {
    log.write(
      'warn',
      'state',
      `${at.folder} cannot be written: nothing is remembered on disk, and new host keys only until this supervisor ends`,
    );
  }
  if (foreground !== null && process.pid === 1) log.write('warn', 'init', noInit);
  const wanted = readWanted(at.wanted, (why) => log.write('warn', 'wanted', why));
  const shared = { ...options, ...ground, clock: systemClock };
  const environment = ownEnvironment(facts, foreground !== null);
  const wired = wire({
    ...shared,
    program: programOfProcess(),
    log: log.write,
    ports: wanted.ports,
    environment: launchedIn ?? environment,
  });
  const load = predecessor === null ? wired.load : await loadedBefore(wired.load, predecessor);
  return live({ ...shared, ...wired, load, wanted, environment }, () => sayReady({ kind: 'ready' }));
}

/** The config is read while the supervisor before this one still answers: with a file that cannot be used, that one goes on. */
async function loadedBefore(load: Wired['load'], predecessor: Predecessor): Promise<Wired['load']> {
  let first: Loading | null = load(null);
  await first.config;
  await predecessor.ready();
  return (bringing) => {
    const loaded = first;
    first = null;
    return loaded === null || bringing !== null ? load(bringing) : loaded;
  };
}

/** Node waits for the children that it started, and for no others (wait(2)); the first process inherits them all. */
const noInit =
  'this is process 1, and what proxy commands leave behind stays as zombies: run an init before it (docker run --init, tini)';

function openLog(
  path: string,
  writable: boolean,
  { env }: PlaceFacts,
  foreground: ForegroundOptions | null,
): OutlivedLog {
  const level: LogLevel = foreground?.verbose === true || env['TUNNEL_DEBUG'] === '1' ? 'debug' : 'info';
  const file = writable ? openFileLog(path, level, foreground === null ? 2 : null) : null; // see launch.ts
  const terminal = foreground === null ? null : terminalLog(foreground, level);
  return outlivedLog(countingLog(teeLog([file, terminal].filter((log) => log !== null)), systemClock));
}

function terminalLog({ stderr, json }: ForegroundOptions, level: LogLevel): Log {
  return json === true ? openLineLog(stderr, level) : openTerminalLog(stderr, level);
}

/**
 * In the foreground the environment of the command. In the background only the variables that programs need to run: `env:`
 * and SSH_AUTH_SOCK come from the commands (SPEC 2).
 */
function ownEnvironment(facts: PlaceFacts, foreground: boolean): CallerEnvironment {
  if (foreground) return callerEnvironment(facts.env);
  const plain = Object.entries(facts.env).filter(
    ([name]) => !name.startsWith('TUNNEL_') && name !== 'SSH_AUTH_SOCK',
  );
  return callerEnvironment(Object.fromEntries(plain));
}

function alreadyServed(config: string, pid: number): TunnelError {
  return new TunnelError('DAEMON_DOWN', `another supervisor (pid ${pid}) serves ${config} already`, {
    hint: [stopCommand(pid), '    # ends it, and its tunnels go down with it'],
  });
}

/** How this process was started, without its own arguments: its children are started the same way. */
function programOfProcess(): [string, ...string[]] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
}
