// The old supervisor's side of a replacement: it starts the new program, hands over what it has, and carries its own connections
// to their end. Until the new one serves nothing is given up, so that whatever fails, the old one goes on.
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { handedOverArgument, projectArgument, supervisorFlags } from '../control/launch-pipe.ts';
import { protocolVersion, type HandOverParams } from '../control/protocol.ts';
import { unitCommand } from '../control/stop-command.ts';
import { TunnelError, type Hint } from '../errors.ts';
import { signalGroup, startProgram } from '../files/child.ts';
import { ownershipHint, ownershipProblem } from '../files/owned.ts';
import { supervisorEnvironment } from '../model/environment.ts';
import { shellWord } from '../model/shell-word.ts';
import { version } from '../model/version.ts';
import type { PlaceFacts, SupervisorPlaces } from '../paths.ts';
import type { Engine } from '../supervisor/engine.ts';
import type { KeptReadings } from './config-source.ts';
import {
  handoverFormat,
  openHandoverPipe,
  pipeDescriptor,
  type FromNew,
  type FromOld,
  type HandedState,
  type HandoverPipe,
} from './handover-messages.ts';
import type { HandedLease } from './leases.ts';
import type { Predecessor } from './predecessor.ts';

export interface HandoverParts {
  readonly at: SupervisorPlaces;
  readonly facts: PlaceFacts;
  /** Absolute path of the config. */
  readonly config: string;
  readonly project: boolean;
  readonly engine: Engine;
  /** The nonce of our lock. */
  readonly lock: string;
  readonly readings: KeptReadings;
  readonly restoring: readonly string[];
  readonly leased: readonly HandedLease[];
  /** Answers no command and writes no file any more, until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
}

export interface Successor {
  readonly pid: number;
  readonly version: string;
  readonly pipe: HandoverPipe<FromNew, FromOld>;
}

/** How long a new one may take to read its config, as at any start, and then to listen for commands. */
const readyLimitMs = 180_000;
const servingLimitMs = 30_000;

/** Throws DAEMON_MISMATCH, with what to do, where a supervisor does not let itself be replaced. */
export function refuseHandover(
  { byPerson, protocol }: HandOverParams,
  now: { readonly foreground: boolean; readonly isBusy: boolean; readonly engine: Engine },
): void {
  const { pid, platform } = process;
  const refused = (why: string, hint: Hint | null): TunnelError =>
    new TunnelError(
      'DAEMON_MISMATCH',
      `the supervisor (pid ${pid}, version ${version}) was not replaced: ${why}`,
      {
        hint,
      },
    );
  if (now.foreground) {
    const hint = unitCommand('restart', pid) ?? `kill ${pid}    # then start it again as it was`;
    throw refused('it runs in the foreground, and whoever started it starts the next one', hint);
  }
  if (platform === 'win32')
    throw refused('listeners cannot be handed over here', {
      command: 'down',
      note: 'takes all its tunnels down; then tunnel up',
    });
  if (now.isBusy) throw refused('it is being replaced, or ends', { command: 'status' });
  if (byPerson) return;
  const hint = { command: 'restart --supervisor' };
  if (protocol < protocolVersion.current) throw refused('it is the newer one', hint);
  if (now.engine.needsPerson)
    throw refused('a login of it may need what a person types, and nobody is at a terminal', hint);
}

/** Throws DAEMON_MISMATCH where a program is not to be started with our secrets. */
export function checkProgram(program: readonly string[], facts: PlaceFacts): void {
  for (const path of [program[0] ?? '', program.at(-1) ?? '']) {
    const refused = (why: string, hint: Hint | null = null): TunnelError =>
      new TunnelError('DAEMON_MISMATCH', `the supervisor was not replaced: ${path} ${why}`, { hint });
    if (!isAbsolute(path)) throw refused('is no absolute path');
    let problem: string | null;
    try {
      problem = ownershipProblem(path, facts);
    } catch {
      throw refused('cannot be found');
    }
    if (problem !== null) throw refused(problem, ownershipHint(path, problem) ?? `ls -l ${shellWord(path)}`);
  }
}

/**
 * Starts the program and hands over; resolves when the new supervisor serves. Throws DAEMON_MISMATCH with why it does not:
 * then it is gone, and nothing has changed here.
 */
export async function handOver(program: readonly string[], parts: HandoverParts): Promise<Successor> {
  checkProgram(program, parts.facts);
  const handing = parts.engine.handing();
  const child = await launch(
    program,
    parts,
    handing.listeners.flatMap(({ descriptors }) => descriptors),
  );
  const pipe = openHandoverPipe<FromNew, FromOld>(child);
  let isPaused = false;
  try {
    const ready = answer(child, pipe, 'ready', readyLimitMs);
    pipe.send({ kind: 'state', state: stateOf(handing, parts) });
    await ready;
    isPaused = true;
    await parts.pause();
    const serving = answer(child, pipe, 'serving', servingLimitMs);
    pipe.send({ kind: 'go' });
    const { pid, version: its } = await serving;
    return { pid, version: its, pipe };
  } catch (thrown) {
    await ended(child);
    if (isPaused) await parts.resume();
    throw thrown;
  }
}

async function launch(
  program: readonly string[],
  { at, facts, config, project }: HandoverParts,
  descriptors: readonly number[],
): Promise<ChildProcess> {
  const log = openSync(at.log, 'a', 0o600);
  const [node = '', ...script] = program;
  const words = ['__supervise', config, handedOverArgument, ...(project ? [projectArgument] : [])];
  try {
    return await startProgram([node, ...supervisorFlags, ...script, ...words], {
      env: supervisorEnvironment(facts),
      stdio: ['ignore', log, log, 'ipc', ...descriptors],
      outlives: true,
    });
  } catch (thrown) {
    throw notReplaced((thrown as Error).message, null, thrown);
  } finally {
    closeSync(log);
  }
}

function stateOf(handing: ReturnType<Engine['handing']>, parts: HandoverParts): HandedState {
  let next = pipeDescriptor + 1;
  const { passwords, passphrases } = handing.typed;
  return {
    format: handoverFormat,
    version,
    pid: process.pid,
    lock: parts.lock,
    tunnels: handing.tunnels,
    listeners: handing.listeners.map((each) => ({
      ...each,
      descriptors: each.descriptors.map(() => next++),
    })),
    attended: handing.attended,
    passwords: passwords.map(({ name, secret }) => ({ name, value: secret.reveal() })),
    passphrases: passphrases.map(({ secret, ...of }) => ({ ...of, value: secret.reveal() })),
    readings: parts.readings,
    restoring: parts.restoring,
    protocol: protocolVersion.current,
    leased: parts.leased,
  };
}

function answer<Kind extends 'ready' | 'serving'>(
  child: ChildProcess,
  pipe: HandoverPipe<FromNew, FromOld>,
  kind: Kind,
  limitMs: number,
): Promise<Extract<FromNew, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => gone(`it took longer than ${limitMs / 1000}s`), limitMs);
    const gone = (why: string): void => {
      clearTimeout(late);
      reject(notReplaced(why, null));
    };
    pipe.listen(
      (message) => {
        if (message.kind !== 'failed' && message.kind !== kind) return;
        clearTimeout(late);
        pipe.keep();
        if (message.kind === 'failed') reject(notReplaced(message.error.message, message.error.hint));
        else resolve(message as Extract<FromNew, { kind: Kind }>);
      },
      () => {
        // Its exit tells more, and comes at about the same time.
        if (child.exitCode !== null || child.signalCode !== null) gone(endOf(child));
        else child.once('exit', () => gone(endOf(child)));
      },
    );
  });
}

function endOf({ exitCode, signalCode }: ChildProcess): string {
  return `it ended ${signalCode === null ? `with code ${exitCode}` : `by ${signalCode}`} before it served`;
}

function notReplaced(why: string, hint: Hint | null, cause?: unknown): TunnelError {
  return new TunnelError(
    'DAEMON_MISMATCH',
    `the new supervisor did not start: ${why}; the one that runs (pid ${process.pid}, version ${version}) goes on`,
    { hint, cause },
  );
}

/** Ends it where it has not ended: two must not serve. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  signalGroup(child, 'SIGKILL');
  await exited;
}

export interface DrainParts {
  readonly engine: Engine;
  readonly successor: Successor;
  /** One that this supervisor has replaced itself, and that may still carry connections. */
  readonly predecessor: Predecessor | null;
}

/**
 * Carries what runs and what is held to its end, and does what the new supervisor asks. Resolves when nothing is left here, or
 * the new one ends. Nothing listens here any more, but for remote forwards until the new one asks their servers.
 */
export function drain({ engine, successor, predecessor }: DrainParts): Promise<void> {
  const { pipe } = successor;
  const names = engine.known().map(({ name }) => name);
  const onServers = new Set(engine.handing().tunnels.flatMap(({ name, remote }) => (remote ? [name] : [])));
  return new Promise((resolve) => {
    let told = -1;
    const look = (): void => {
      const connections = engine.connections + (predecessor?.connections ?? 0);
      if (connections !== told) pipe.send({ kind: 'carries', connections: (told = connections) });
      if (connections > 0 || onServers.size > 0 || predecessor?.isThere === true) return;
      stop();
      resolve();
    };
    const leave = async (tunnels: readonly string[]): Promise<void> => {
      await engine.letGo('server', tunnels);
      for (const tunnel of tunnels) {
        onServers.delete(tunnel);
        pipe.send({ kind: 'left', tunnel });
      }
      look();
    };
    const stop = engine.onChange(look);
    predecessor?.onChange(look);
    pipe.listen(
      (message) => {
        if (message.kind === 'leave') void leave([message.tunnel]);
        else if (message.kind === 'down') {
          const { id, tunnels, drainMs } = message;
          const known = tunnels.filter((name) => names.includes(name));
          void Promise.all([engine.down(known, drainMs), predecessor?.down(tunnels, drainMs)]).then(() => {
            for (const name of known) onServers.delete(name);
            pipe.send({ kind: 'downed', id });
            look();
          });
        } else if (message.kind === 'end') {
          predecessor?.end();
          resolve();
        }
      },
      // Killed: the connections here are still somebody's.
      () => void leave([...onServers]),
    );
    look();
  });
}
