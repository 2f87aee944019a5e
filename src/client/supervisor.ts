// Where the supervisor of a config is, and one question to it when it runs. Loads nothing heavy: `status` passes here.
import { existsSync } from 'node:fs';
import { configIdentity, findConfig, type FoundConfig } from '../config/locate.ts';
import type { CallOptions } from '../control/client.ts';
import type { Method, Methods } from '../control/protocol.ts';
import { askSupervisor, connectSupervisor, type SupervisorCall } from '../control/reach.ts';
import { TunnelError } from '../errors.ts';
import type { Owner } from '../files/folders.ts';
import { namedConfig, supervisorPlaces, type SupervisorPlaces } from '../paths.ts';
import type { Context } from './context.ts';

export type Where = Pick<Context, 'facts' | 'places' | 'options'>;

export interface Target {
  /** Null: the file is gone, but a supervisor that served it left its folder. */
  readonly found: FoundConfig | null;
  /** Absolute path of the file, there or not. */
  readonly path: string;
  readonly supervisor: SupervisorPlaces;
  /** Whoever runs the command: a supervisor of somebody else is none. */
  readonly owner: Owner;
}

/** The config in use and the files of its supervisor. Throws CONFIG_MISSING where there is neither. */
export function locateTarget({ facts, places, options }: Where): Target {
  const at = (path: string): SupervisorPlaces =>
    supervisorPlaces(places, configIdentity(path), facts.platform);
  try {
    const found = findConfig(places, facts, options.config);
    return { found, path: found.path, supervisor: at(found.path), owner: facts };
  } catch (thrown) {
    // `status`, `down` and `logs` work on a missing file too (SPEC 3).
    const named = namedConfig(facts, options.config);
    const paths = named === null ? places.configCandidates.map(({ path }) => path) : [named];
    const path = paths.find((each) => existsSync(at(each).folder));
    if (path === undefined) throw thrown;
    return { found: null, path, supervisor: at(path), owner: facts };
  }
}

/** The config file of a target. Throws CONFIG_MISSING when it is gone. */
export function foundConfig(where: Where, target: Target): FoundConfig {
  return target.found ?? findConfig(where.places, where.facts, where.options.config);
}

/** One call to the supervisor; null where none runs. Rejects with its TunnelError. */
export async function ask<M extends Exclude<Method, 'hello'>>(
  { supervisor, owner }: Target,
  method: M,
  params: Methods[M]['params'],
  options: CallOptions<M> & Pick<SupervisorCall<M>, 'last'> = {},
): Promise<Methods[M]['result'] | null> {
  const answer = await askSupervisor(supervisor, owner, { method, params, ...options });
  return answer === null ? null : answer.result;
}

export async function isRunning({ supervisor, owner }: Target, signal?: AbortSignal): Promise<boolean> {
  const client = await connectSupervisor(supervisor, owner, signal);
  client?.close();
  return client !== null;
}

/** What a command says that needs a supervisor where none runs. */
export function noSupervisor(command: string): TunnelError {
  return new TunnelError('DAEMON_DOWN', `no supervisor is running, and ${command} needs one`, {
    hint: { command: 'up' },
  });
}
