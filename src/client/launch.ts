// Launching a supervisor in the background: a process of its own with the listed environment, which tells through a pipe
// that it is ready or why it is not.
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { ControlClient } from '../control/client.ts';
import { prepareStateFolders, readOnlyState, type Owner } from '../files/folders.ts';
import {
  environmentArgument,
  parseReady,
  projectArgument,
  readyArgument,
  supervisorFlags,
  readyDescriptor,
  type ReadyMessage,
} from '../control/launch-pipe.ts';
import { TunnelError } from '../errors.ts';
import { signalGroup, startProgram } from '../files/child.ts';
import { abortable } from '../model/give-up.ts';
import { shellWord } from '../model/shell-word.ts';
import { placesOfConfig } from '../config/locate.ts';
import { placesOf, type PlaceFacts, type SupervisorPlaces } from '../paths.ts';
import { callerEnvironment, supervisorEnvironment } from '../model/environment.ts';
import { connectSupervisor } from '../control/reach.ts';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** How long a supervisor may take until it listens. It reads the config first, and each `ssh -G` may take 60 s. */
const startLimitMs = 180_000;

export interface StartOptions {
  /** Absolute path of the config. */
  readonly config: string;
  /** Found in the current folder: the supervisor too uses only what was allowed. Default false. */
  readonly project?: boolean;
  readonly facts: PlaceFacts;
  /** Program and arguments that run this same program: [node, bin/tunnel.js]. */
  readonly program: readonly [string, ...string[]];
  /** Aborted: nobody waits for it any more. One that has been started comes up all the same. */
  readonly signal?: AbortSignal;
}

/**
 * Connects to the supervisor of a config, starting one when none runs. Greeted.
 * Throws what kept it from starting: CONFIG_INVALID and its kin, or DAEMON_DOWN with the end of its log;
 * the signal's reason once that is aborted.
 */
export async function needSupervisor(options: StartOptions): Promise<ControlClient> {
  const at = placesOfConfig(options.config, options.facts);
  const owner: Owner = options.facts;
  return (await connectSupervisor(at, owner, options.signal)) ?? startSupervisor(options);
}

/**
 * Runs `use` with the supervisor of a config, started when none runs, and once more when the supervisor turned out to
 * be on its way out. Closes the connection afterwards.
 */
export async function withSupervisor<T>(
  options: StartOptions,
  use: (client: ControlClient) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const client = await needSupervisor(options);
    try {
      return await use(client);
    } catch (thrown) {
      if (!client.ending || tries === 3) throw thrown;
    } finally {
      client.close();
    }
  }
}

/** Starts a supervisor and connects to it, or to the one that was faster. Throws as `needSupervisor`. */
export async function startSupervisor(options: StartOptions): Promise<ControlClient> {
  const { facts, config, signal } = options;
  const at = placesOfConfig(config, facts);
  if (!prepareStateFolders(placesOf(facts), at, facts)) throw readOnlyState(at);
  for (let tries = 1; ; tries++) {
    const message = await launch(options, at);
    if (message.kind === 'failed') {
      const { code, message: text, hint } = message.error;
      throw new TunnelError(code, text, { hint });
    }
    const client = await connectSupervisor(at, facts, signal);
    if (client !== null) return client;
    // The one that was faster has ended since, or ours was told to end at once.
    if (tries === 3) {
      throw new TunnelError('DAEMON_DOWN', `the supervisor of ${config} ended at once`, {
        hint: `tail ${shellWord(at.log)}`,
      });
    }
  }
}

async function launch(options: StartOptions, at: SupervisorPlaces): Promise<ReadyMessage> {
  const { facts, program, config, signal } = options;
  // What Node itself says in its last moment (out of memory) goes to the log; everything else is written by log.ts.
  const log = openSync(at.log, 'a', 0o600);
  const project = options.project === true ? [projectArgument] : [];
  let child: ChildProcess;
  try {
    const [node, ...script] = program;
    const words = ['__supervise', config, readyArgument, environmentArgument, ...project];
    child = await startProgram([node, ...supervisorFlags, ...script, ...words], {
      env: supervisorEnvironment(facts),
      stdio: ['pipe', log, log, 'pipe'],
      outlives: true,
    });
  } catch (thrown) {
    throw startFailed(config, (thrown as Error).message, at, thrown);
  } finally {
    closeSync(log);
  }
  try {
    // Not as its environment: that is listed (SPEC 2), and its children would inherit it.
    child.stdin?.on('error', () => undefined); // it ended before it read: its ready pipe tells
    child.stdin?.end(JSON.stringify(callerEnvironment(facts.env)));
    const ready = readyMessage(child, at);
    return await (signal === undefined ? ready : abortable(ready, signal));
  } finally {
    child.unref();
    child.stdin?.destroy();
    child.stdio[readyDescriptor]?.destroy();
  }
}

function readyMessage(child: ChildProcess, at: SupervisorPlaces): Promise<ReadyMessage> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(startFailed(`pid ${child.pid}`, why, at));
    };
    const timer = setTimeout(() => {
      signalGroup(child, 'SIGKILL'); // it would come up behind our back
      fail(`it was not ready in ${startLimitMs / 1000}s`);
    }, startLimitMs);
    let text = '';
    const pipe = child.stdio[readyDescriptor] as Readable;
    pipe.on('error', () => undefined); // 'close' follows
    pipe.on('data', (chunk) => (text += String(chunk)));
    pipe.once('close', () => {
      const message = parseReady(text);
      if (message === null) return fail(`it ended before it was ready${lastWords(at.log)}`);
      clearTimeout(timer);
      resolve(message);
    });
  });
}

function startFailed(on: string, why: string, at: SupervisorPlaces, cause?: unknown): TunnelError {
  const hint = `tail ${shellWord(at.log)}`;
  return new TunnelError('DAEMON_DOWN', `the supervisor did not start, on ${on}: ${why}`, { hint, cause });
}

/** The last line of the log, where Node's own words about its end are. */
function lastWords(log: string): string {
  try {
    const line = readFileSync(log, 'utf8').trimEnd().split('\n').at(-1) ?? '';
    return line === '' || line.startsWith('{') ? '' : `: ${line.slice(0, 300)}`;
  } catch {
    return ''; // no log, no words
  }
}

/** What `up` says when its new supervisor runs without native code: talk, and a command to paste. */
export function missingNativePart(
  folder = packageFolder(),
  prefix = dirname(dirname(process.execPath)),
): string[] {
  return [withoutNativePart, `hint: ${nativePartHint(folder, prefix)}`];
}

export const withoutNativePart =
  'ssh2 runs without its native part: transfers are slower, nothing else changes';

/** Lets the single-file executable, which is its own package folder, load what it carries (deploy/linux/inside/native.ts). */
const otherFolder =
  'tunnel down && TMPDIR=/var/tmp tunnel up    # or another folder that can be written to and is not mounted noexec';

/** The command that builds it. `prefix`: see `rebuildCommand`. */
export function nativePartHint(
  folder = packageFolder(),
  prefix = dirname(dirname(process.execPath)),
): string {
  if (folder === process.execPath) return otherFolder;
  return `${rebuildCommand(folder, prefix)}    # needs python3, make and a C++ compiler; serves the next supervisor`;
}

/** `prefix`: where this Node is installed; with its headers there, nothing has to be downloaded to build. */
function rebuildCommand(folder: string, prefix: string): string {
  const headers = existsSync(join(prefix, 'include/node/node.h')) ? ` --nodedir=${shellWord(prefix)}` : '';
  return `(cd ${shellWord(folder)} && npm rebuild ssh2 --ignore-scripts=false${headers})`;
}

/** The folder whose node_modules holds ssh2: npm acts on that one. */
function packageFolder(): string {
  return dirname(dirname(dirname(createRequire(import.meta.url).resolve('ssh2/package.json'))));
}
