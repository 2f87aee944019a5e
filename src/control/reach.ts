// Reaching a running supervisor: what commands use. Nothing stale blocks them, and one on its way out is waited for.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CallOptions, ControlClient } from './client.ts';
import type { Owner } from '../files/folders.ts';
import { protocolVersion, type Method, type Methods } from './protocol.ts';
import { TunnelError, type HintCommand } from '../errors.ts';
import { runningMs } from '../files/running-time.ts';
import { version } from '../model/version.ts';
import type { Places, SupervisorPlaces } from '../paths.ts';
import { readAddress } from './address.ts';

/** How long a supervisor that is starting, ending, or has lost its socket is waited for. */
const patienceMs = 15_000;

/**
 * A connection to the supervisor at a place, greeted. Null: none runs.
 * Throws DAEMON_MISMATCH for another protocol, DAEMON_DOWN for one that lives but does not answer. Once the signal aborts no
 * connection is left open, and it rejects with the signal's reason.
 */
export function connectSupervisor(
  at: SupervisorPlaces,
  owner: Owner,
  signal?: AbortSignal,
): Promise<ControlClient | null> {
  const greet = async (client: ControlClient): Promise<ControlClient> => {
    const leave = (): void => client.close();
    signal?.addEventListener('abort', leave, { once: true });
    try {
      await client.hello();
    } finally {
      signal?.removeEventListener('abort', leave);
    }
    return client;
  };
  return reach(at, owner, greet, signal);
}

/** A call to a supervisor. */
export interface SupervisorCall<M extends Method> extends CallOptions<M> {
  readonly method: M;
  readonly params: Methods[M]['params'];
  /** With the answer the process ends. */
  readonly last?: boolean;
}

/**
 * One call in one round trip, over a connection of its own. Null: no supervisor runs.
 * Rejects with the supervisor's TunnelError.
 */
export function askSupervisor<M extends Exclude<Method, 'hello'>>(
  at: SupervisorPlaces,
  owner: Owner,
  { method, params, last = false, ...options }: SupervisorCall<M>,
): Promise<{ readonly result: Methods[M]['result'] } | null> {
  const once = async (client: ControlClient): Promise<{ readonly result: Methods[M]['result'] }> => {
    const result = await client.call(method, params, options as CallOptions<M>);
    if (last) client.leave();
    else client.close();
    return { result };
  };
  return reach(at, owner, once, options.signal);
}

/** The last call of a process, to a supervisor that answers within the time, not waited for in any state. Null: none runs. Rejects for any other. */
export async function askAtOnce<M extends Exclude<Method, 'hello'>>(
  at: SupervisorPlaces,
  owner: Owner,
  { method, params }: SupervisorCall<M>,
  withinMs: number,
): Promise<Methods[M]['result'] | null> {
  const client = await connectAt(at, owner, withinMs);
  if (client === null) return null;
  const late = setTimeout(() => client.close(), withinMs);
  try {
    return await client.call(method, params);
  } finally {
    clearTimeout(late);
    client.leave();
  }
}

async function reach<T>(
  at: SupervisorPlaces,
  owner: Owner,
  use: (client: ControlClient) => Promise<T>,
  signal?: AbortSignal,
): Promise<T | null> {
  const deadline = runningMs() + patienceMs;
  for (;;) {
    const client = await connectAt(at, owner);
    if (client !== null) {
      try {
        signal?.throwIfAborted();
        return await use(client);
      } catch (thrown) {
        client.close();
        signal?.throwIfAborted();
        if (!client.ending && !client.lost) throw await withWayOut(thrown, at, owner);
      }
    }
    signal?.throwIfAborted();
    // Nobody answers, or somebody on the way out: the lock tells whether to wait.
    const holder = await holderOf(at, owner);
    if (holder === null && client === null) return null;
    if (runningMs() > deadline) throw await unanswered(at, holder);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Pid of the lock's holder. The lock is loaded only where nobody answers: `status` of a running supervisor passes without it. */
async function holderOf(at: SupervisorPlaces, owner: Owner): Promise<number | null> {
  const { lockHolder } = await import('../files/lock.ts');
  return lockHolder(at.lock, owner.platform);
}

/**
 * Has the supervisor that runs start `program` in its place; answers when that one serves. Null: none runs.
 * Throws what kept it from that; the supervisor then goes on as it is.
 */
export async function askHandOver(
  at: SupervisorPlaces,
  owner: Owner,
  asked: { readonly program: readonly string[]; readonly byPerson: boolean },
): Promise<Methods['hand-over']['result'] | null> {
  const client = await connectAt(at, owner);
  if (client === null)
    return (await holderOf(at, owner)) === null ? null : Promise.reject(await unanswered(at, null));
  try {
    const token = readAddress(at.address)?.token ?? undefined;
    return await client.call('hand-over', { ...asked, protocol: protocolVersion.current, token });
  } catch (thrown) {
    // One that is older than this request.
    if (!(thrown instanceof TunnelError) || thrown.code !== 'DAEMON_MISMATCH' || thrown.hint !== null)
      throw thrown;
    const pid = await holderOf(at, owner);
    throw new TunnelError(thrown.code, thrown.message, {
      hint: pid === null ? null : await killing(pid),
      cause: thrown,
    });
  } finally {
    client.close();
  }
}

/** Where the state folder cannot be written there is no address, and the socket is in one of the places by default. */
async function connectAt(
  at: SupervisorPlaces,
  owner: Owner,
  timeoutMs?: number,
): Promise<ControlClient | null> {
  const options = { version, owner, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  const address = readAddress(at.address);
  const { connectControl } = await import('./client.ts'); // and node:net with it, which no completion of names needs
  if (address !== null) return connectControl(address.socket, { ...options, token: address.token });
  for (const socket of [at.socket, at.spareSocket]) {
    const client = socket === null ? null : await connectControl(socket, options);
    if (client !== null) return client;
  }
  return null;
}

const comeBack = '    # the tunnels that were wanted come back';

async function withWayOut(thrown: unknown, at: SupervisorPlaces, owner: Owner): Promise<unknown> {
  if (!(thrown instanceof TunnelError)) return thrown;
  if (thrown.code === 'DAEMON_DOWN' && thrown.hint === null) return unanswered(at, await holderOf(at, owner));
  const pid = thrown.code === 'DAEMON_MISMATCH' ? await holderOf(at, owner) : null;
  if (pid === null) return thrown;
  const { code, message, facts } = thrown;
  return new TunnelError(code, message, { hint: await replacing(pid), facts, cause: thrown });
}

async function unanswered(at: SupervisorPlaces, pid: number | null): Promise<TunnelError> {
  const who = pid === null ? 'the supervisor' : `the supervisor (pid ${pid})`;
  return new TunnelError('DAEMON_DOWN', `${who} does not answer, on ${at.socket}`, {
    hint: pid === null ? { command: 'up' } : await killing(pid),
  });
}

/**
 * A supervisor that cannot be talked to can only be ended from outside: by its unit, if one runs it. Else by SIGKILL: what is
 * told to end gives up what was wanted, and only what crashed is brought back (SPEC 3).
 */
async function killing(pid: number): Promise<readonly (string | HintCommand)[]> {
  const { unitCommand } = await import('./stop-command.ts');
  const restart = unitCommand('restart', pid);
  return restart === null ? [`kill -9 ${pid} && `, { command: 'up' }, comeBack] : [restart];
}

/** The command that puts one of this version in the place of a supervisor that runs. */
export async function replacing(pid: number): Promise<readonly (string | HintCommand)[]> {
  const { isForeground, unitCommand } = await import('./stop-command.ts');
  if (isForeground(pid))
    return [unitCommand('restart', pid) ?? `kill ${pid}    # then start it again as it was`];
  return [{ command: 'restart --supervisor', note: 'the tunnels stay up' }];
}

export interface RunningSupervisor {
  /** The config it serves, as its user would know it. */
  readonly config: string;
  readonly at: SupervisorPlaces;
  /** The caller closes it. */
  readonly client: ControlClient;
}

/**
 * Every supervisor of this user on this machine, by config. Those that cannot be spoken with are told through
 * `complain` and left out.
 */
export async function listSupervisors(
  places: Places,
  owner: Owner,
  complain: (error: TunnelError) => void,
): Promise<readonly RunningSupervisor[]> {
  const found = await Promise.all(
    placesIn(places.machineDir).map(async (at): Promise<RunningSupervisor | null> => {
      const address = readAddress(at.address);
      if (address === null || (await holderOf(at, owner)) === null) return null;
      try {
        const client = await connectSupervisor({ ...at, socket: address.socket }, owner);
        return client === null ? null : { config: (await client.hello()).config, at, client };
      } catch (thrown) {
        if (!(thrown instanceof TunnelError)) throw thrown;
        complain(thrown);
        return null;
      }
    }),
  );
  return found.filter((one) => one !== null).sort((one, other) => (one.config < other.config ? -1 : 1));
}

function placesIn(machineDir: string): readonly SupervisorPlaces[] {
  let names: string[];
  try {
    names = readdirSync(machineDir);
  } catch {
    return []; // no supervisor ever ran here
  }
  return names
    .filter((name) => /^[0-9a-f]{12}$/.test(name))
    .map((name) => placesOfFolder(join(machineDir, name)));
}

function placesOfFolder(folder: string): SupervisorPlaces {
  const inside = (name: string): string => join(folder, name);
  return {
    folder,
    lock: inside('lock'),
    address: inside('address.json'),
    wanted: inside('wanted.json'),
    adhoc: inside('adhoc.json'),
    history: inside('history.jsonl'),
    log: inside('tunnel.log'),
    socket: '',
    spareSocket: null,
  };
}
