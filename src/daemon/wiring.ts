// The wiring of a supervisor: config, secrets, ssh, forwards and engine, each handed what it needs of the others.
import { fileDigest, ownKnownHosts } from '../config/consent.ts';
import { loadConfig, readDeclared, readSources } from '../config/load.ts';
import { TunnelError } from '../errors.ts';
import { createCarrier } from '../forward/create.ts';
import type { CarrierParts } from '../model/carrier.ts';
import type { Clock } from '../model/clock.ts';
import type { Host } from '../model/host.ts';
import type { Secret, SecretRef } from '../model/secret.ts';
import type { CallerEnvironment, Dialer } from '../model/session.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { PlaceFacts, Places } from '../paths.ts';
import { type SecretReader, withheldVariables } from '../secrets/read.ts';
import { nativeCrypto } from '../ssh/ssh2/parts.ts';
import type { Engine, EngineLog } from '../supervisor/engine.ts';
import { createEngine } from '../supervisor/supervisor.ts';
import {
  createReadingEnvironments,
  type Bringing,
  type KeptReadings,
  type Loading,
} from './config-source.ts';
import { lookAt } from './file-watch.ts';
import type { Predecessor } from './predecessor.ts';
import { openSsh } from '../ssh/parts.ts';

export interface WiringOptions {
  /** Absolute path of the config. */
  readonly config: string;
  /** Found in the current folder: its content must have been allowed. */
  readonly project: boolean;
  readonly facts: PlaceFacts;
  readonly places: Places;
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly program: readonly [string, ...string[]];
  readonly ports: Readonly<Record<string, number>>;
  readonly writable: boolean;
  /** Of the command that started the supervisor. */
  readonly environment: CallerEnvironment;
  /** The supervisor that this one replaces. */
  readonly predecessor: Predecessor | null;
}

export interface Wired {
  readonly engine: Engine;
  readonly load: (bringing: Bringing | null) => Loading;
  readonly nativeCrypto: boolean;
  /** Variables that hold secrets: no command gets them. */
  readonly withheld: () => ReadonlySet<string>;
  readonly readings: () => KeptReadings;
}

export function wire(options: WiringOptions): Wired {
  const { config, facts, places, clock, log, project } = options;
  let current: ResolvedConfig | null = null;
  const plainLog = (
    level: 'debug' | 'info' | 'warn',
    event: string,
    message: string,
    about?: Record<string, unknown>,
  ): void => log(level, event, message, about);
  const { dialer, secrets } = openSsh({ ...options, log: plainLog, config: () => current });
  let projectKeys: ReadonlyMap<string, string> = new Map();
  const engine = createEngine({
    dialer: guardedDialer(dialer, () => projectKeys),
    createCarrier: (forward, hold, parts) =>
      createCarrier(forward, hold, { ...parts, readSecret: proxyPassword(secrets, parts) }),
    clock,
    random: Math.random,
    log,
    ports: options.ports,
    inheritance: options.predecessor,
  });
  const readings = readingEnvironments(options, engine);
  return {
    engine,
    nativeCrypto: nativeCrypto(),
    withheld: () => withheldVariables(current ?? { tunnels: [] }),
    readings: () => readings.kept(),
    load(bringing) {
      const keys = project ? keysOf(config, facts) : projectKeys;
      const seen = lookAt([...readSources(config, facts).keys(), ...(keys?.keys() ?? [])]);
      return { seen, config: load(bringing, keys) };
    },
  };

  async function load(
    bringing: Bringing | null,
    known: ReadonlyMap<string, string> | null,
  ): Promise<ResolvedConfig> {
    const { environmentOf, worked } = readings.of(bringing);
    const keys = known ?? ownKnownHosts(readDeclared(config, facts)); // which throws why there are none
    const consent = project ? { allowedIn: places.stateDir } : {};
    const resolved = await loadConfig(config, facts, { ...consent, environmentOf });
    worked();
    projectKeys = keys;
    // A tunnel that is gone from the file may still run, so its secrets stay withheld.
    const before = current === null ? [] : withheldVariables(current);
    current = { ...resolved, secretVariables: [...before, ...(resolved.secretVariables ?? [])] };
    return resolved;
  }
}

/** The known_hosts files of a project; null of a config that cannot be used. */
function keysOf(config: string, facts: PlaceFacts): ReadonlyMap<string, string> | null {
  try {
    return ownKnownHosts(readDeclared(config, facts));
  } catch {
    return null;
  }
}

function readingEnvironments(
  { environment, predecessor }: WiringOptions,
  engine: Engine,
): ReturnType<typeof createReadingEnvironments> {
  const handed = predecessor?.state;
  // Before the first reading the engine knows nothing of what it goes on with.
  const wanted = (): ReadonlySet<string> =>
    new Set(
      engine.known().length === 0
        ? handed?.tunnels.map(({ name }) => name)
        : engine.known().flatMap((tunnel) => (tunnel.wanted ? [tunnel.name] : [])),
    );
  const first = handed?.readings ?? { newest: environment.variables, ofTunnels: {} };
  return createReadingEnvironments(first, wanted);
}

/** The password of `socks_auth`: from a source that needs nobody, since nobody asks for a proxy's. */
function proxyPassword(secrets: SecretReader, parts: CarrierParts): (ref: SecretRef) => Promise<Secret> {
  const nothing: CallerEnvironment = { variables: {}, agentSockets: [] };
  return (ref) => {
    if (ref.from === 'prompt' || ref.from === 'keychain')
      throw new TunnelError('SECRET_MISSING', `the password of socks_auth cannot come from ${ref.from}`, {
        hint: 'use env:, file: or command:',
      });
    const environment = parts.environment?.() ?? nothing;
    return secrets.read({ ref, kind: 'password', name: 'socks_auth', endpoint: null, environment });
  };
}

/**
 * A dialer that believes the known_hosts files of a project only as they were when the project was allowed (SPEC 1).
 * `allowed`: the digests of then, by path.
 */
function guardedDialer(dialer: Dialer, allowed: () => ReadonlyMap<string, string>): Dialer {
  return {
    reach: (host, signal) => dialer.reach(host, signal),
    // An error may wait for a file that was allowed since.
    async circumstances(host, code, environment) {
      const digests = host.knownHosts.map((path) => allowed().get(path) ?? '');
      return [await dialer.circumstances(host, code, environment), ...digests].join(' ');
    },
    forgetAllBut: (hosts) => dialer.forgetAllBut(hosts),
    typed: () => dialer.typed(),
    inherit: (typed) => dialer.inherit(typed),
    async dial(host, from, context) {
      const changed = changedFile(host, allowed());
      if (changed === undefined) return dialer.dial(host, from, context);
      from.transport?.destroy();
      throw notAllowed(host, changed);
    },
  };
}

function changedFile({ knownHosts }: Host, allowed: ReadonlyMap<string, string>): string | undefined {
  return knownHosts.find((path) => allowed.has(path) && allowed.get(path) !== fileDigest(path));
}

function notAllowed({ name }: Host, path: string): TunnelError {
  return new TunnelError(
    'HOST_KEY_UNKNOWN',
    `host keys refused, on ${name}: ${path} came with the project, and it has changed since it was allowed`,
    { hint: ['tunnel allow && ', { command: 'up' }] },
  );
}
