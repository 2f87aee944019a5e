// The supervisor's process: the place where all parts meet. With cli/main and cli/context the only reader of `process`.
import { asTunnelError, reportError, TunnelError } from '../errors.ts';
import { processFacts } from '../files/process-facts.ts';
import { systemFailure } from '../files/errno.ts';
import { systemClock } from '../model/clock.ts';
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
  teeLog,
  type Log,
  type LogLevel,
} from './log.ts';
import { claim } from './claim.ts';
import { launchEnvironment, openReadyPipe, projectArgument, type SayReady } from '../control/launch-pipe.ts';
import { leave, refuseDebugger } from './signals.ts';
import { stopCommand } from '../control/stop-command.ts';
import { live, type Foreground } from './supervise.ts';
import { readWanted } from '../control/wanted.ts';
import { wire } from './wiring.ts';

/** `__supervise CONFIG`: the supervisor in the background, as launch.ts starts it. Answers the exit code. */
export async function superviseCommand(argv: readonly string[]): Promise<number> {
  refuseDebugger();
  const [config] = argv;
  if (config === undefined)
    throw new TunnelError('USAGE', 'the supervisor cannot start: no config was named');
  const sayReady = openReadyPipe(argv);
  const project = argv.includes(projectArgument);
  let code = 1;
  try {
    const launchedIn = launchEnvironment(argv);
    code = await run({ config, project, facts: processFacts(), foreground: null, launchedIn, sayReady });
  } catch (thrown) {
    sayReady({ kind: 'failed', error: reportError(asTunnelError(thrown)) });
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
  const code = await run({ ...options, foreground: options, launchedIn: null, sayReady: () => undefined });
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
}

async function run(options: RunOptions): Promise<number> {
  refuseDebugger();
  process.umask(0o077);
  const { config, facts, foreground, sayReady } = options;
  const places = placesOf(facts);
  const at = placesOfConfig(config, facts);
  const writable = prepareStateFolders(places, at, facts);
  if (!writable && foreground === null) throw readOnlyState(at);
  const claimed = await claim(at, facts, { writable, wait: foreground !== null }).catch((thrown: unknown) => {
    throw systemFailure(thrown, 'supervisor start', at.folder);
  });
  if (claimed.kind === 'held') {
    if (foreground !== null) throw alreadyServed(config, claimed.pid);
    sayReady(claimed);
    return 4;
  }
  const { release } = claimed;
  const log = openLog(at.log, writable, facts, foreground);
  try {
    return await serve(options, { places, at, writable, log, release });
  } catch (thrown) {
    const error = asTunnelError(systemFailure(thrown, 'supervisor start', at.folder));
    // In the foreground the command tells it on the same stderr.
    const about = error.code === 'INTERNAL' ? { stack: stackOf(error) } : { code: error.code };
    if (foreground === null) log.last('error', 'start', error.message, about);
    throw error;
  } finally {
    release();
  }
}

/** What a supervisor stands on once the config is its own. */
interface Ground {
  readonly places: Places;
  readonly at: SupervisorPlaces;
  readonly writable: boolean;
  readonly log: Log;
  readonly release: () => void;
}

function serve(options: RunOptions, ground: Ground): Promise<number> {
  const { facts, foreground, launchedIn, sayReady } = options;
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
  return live({ ...shared, ...wired, wanted, environment }, () => sayReady({ kind: 'ready' }));
}

/** Node waits for the children that it started, and for no others (wait(2)); the first process inherits them all. */
const noInit =
  'this is process 1, and what proxy commands leave behind stays as zombies: run an init before it (docker run --init, tini)';

function openLog(
  path: string,
  writable: boolean,
  { env }: PlaceFacts,
  foreground: ForegroundOptions | null,
): Log {
  const level: LogLevel = foreground?.verbose === true || env['TUNNEL_DEBUG'] === '1' ? 'debug' : 'info';
  const file = writable ? openFileLog(path, level, foreground === null ? 2 : null) : null; // see launch.ts
  const terminal = foreground === null ? null : terminalLog(foreground, level);
  return countingLog(teeLog([file, terminal].filter((log) => log !== null)), systemClock);
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
