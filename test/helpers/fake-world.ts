// An engine in a world without network, ports or time: what the tests of the supervisor live in.
import { tcp } from '../../src/model/endpoint.ts';
import type { Forward, LocalForward, RemoteForward } from '../../src/model/forward.ts';
import type { Host, Way } from '../../src/model/host.ts';
import type { CallerEnvironment } from '../../src/model/session.ts';
import type { TunnelStatus } from '../../src/model/status.ts';
import type { ResolvedConfig, Tunnel } from '../../src/model/tunnel.ts';
import type { Engine, EngineLog, UpRequest } from '../../src/supervisor/engine.ts';
import { createEngine } from '../../src/supervisor/supervisor.ts';
import { FakePorts } from './fake-carrier.ts';
import { FakeClock, settle } from './fake-clock.ts';
import { FakeDialer } from './fake-ssh.ts';
import { fullHost } from './host.ts';

export function hostOf(name: string, more: Partial<Host> = {}): Host {
  return fullHost({
    name,
    hostname: `${name}.example`,
    identitiesOnly: false,
    agent: { from: 'environment' },
    auth: ['agent', 'publickey'],
    ...more,
  });
}

export function local(port: number, target = 'db:5432'): LocalForward {
  const [host, targetPort] = target.split(':');
  return {
    name: null,
    probe: null,
    type: 'local',
    listen: tcp('127.0.0.1', port),
    target: tcp(host ?? '', Number(targetPort)),
    protocol: null,
  };
}

export function remote(port: number): RemoteForward {
  const target = tcp('127.0.0.1', 3000);
  return { name: null, probe: null, type: 'remote', listen: tcp('localhost', port), target, allow: [] };
}

export function tunnelOf(
  name: string,
  way: Way,
  forward: Forward | readonly Forward[],
  more: Partial<Tunnel> = {},
): Tunnel {
  return {
    name,
    host: way.at(-1)?.name ?? '',
    ways: [way],
    forwards: Array.isArray(forward) ? forward : [forward as Forward],
    tags: [],
    autostart: true,
    lazy: false,
    idleTimeoutMs: null,
    hold: { kind: 'wait', ms: 30_000 },
    reconnect: { initialMs: 500, maxMs: 30_000 },
    rotateMs: null,
    share: true,
    env: {},
    open: null,
    after: [],
    hooks: {},
    ...more,
  };
}

export function configOf(...tunnels: Tunnel[]): ResolvedConfig {
  return { file: '/t/tunnels.yaml', tunnels, warnings: [], metrics: null, notify: false };
}

export const offTerminal: UpRequest = {
  acceptNew: false,
  remap: false,
  personPresent: false,
  environment: { variables: {}, agentSockets: [] },
};
export const onTerminal: UpRequest = { ...offTerminal, personPresent: true };
export const withEnvironment = (environment: Partial<CallerEnvironment>): UpRequest => ({
  ...offTerminal,
  environment: { ...offTerminal.environment, ...environment },
});

export interface World {
  readonly engine: Engine;
  readonly clock: FakeClock;
  readonly dialer: FakeDialer;
  readonly ports: FakePorts;
  readonly logged: string[];
  /** The same with all that belongs to it. */
  readonly lines: Parameters<EngineLog>[];
  /** Chance: what `random` answers. */
  chance: number;
  /** The status of one tunnel. */
  one(name: string): TunnelStatus;
  up(name: string, request?: UpRequest): Promise<void>;
}

export async function worldOf(...tunnels: Tunnel[]): Promise<World> {
  const clock = new FakeClock();
  const dialer = new FakeDialer();
  const ports = new FakePorts();
  const logged: string[] = [];
  const lines: Parameters<EngineLog>[] = [];
  const world: World = {
    engine: createEngine({
      dialer,
      createCarrier: ports.create,
      clock,
      random: () => world.chance,
      log(...line) {
        lines.push(line);
        logged.push(`${line[1]} ${line[2]}`);
      },
      ports: {},
    }),
    clock,
    dialer,
    ports,
    logged,
    lines,
    chance: 0.5,
    one: (name) => world.engine.status([name])[0] as TunnelStatus,
    up: async (name, request = offTerminal) => {
      world.engine.up([name], request);
      await settle();
    },
  };
  await world.engine.apply(configOf(...tunnels), { prune: false });
  return world;
}
