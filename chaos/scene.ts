// The stage of a run: three real sshd with a line in front of each, one of them behind a jump host, the targets, and the built
// program with every kind of forward to them.
import { join } from 'node:path';
import { temporaryFolder } from '../test/helpers/folder.ts';
import { freePort } from '../test/helpers/ports.ts';
import { startSshd, type Sshd } from '../test/helpers/sshd.ts';
import { createWorld, type World } from '../test/helpers/world.ts';
import type { Connection } from './connection.ts';
import type { FairClock } from './fair-clock.ts';
import { openLine, type Line } from './line.ts';
import { places, type Place, type Schedule, type Spot } from './schedule.ts';
import { loggedFunctions } from './sshd-log.ts';
import { terms } from './terms.ts';
import { startTargets, type OpenWay, type Targets } from './traffic.ts';

export interface Scene extends AsyncDisposable {
  readonly world: World;
  readonly sshds: Readonly<Record<Place, Sshd>>;
  readonly lines: Readonly<Record<Place, Line>>;
  readonly targets: Targets;
  readonly ways: readonly OpenWay[];
  /** The pid of the program that is put to the test. */
  readonly supervisor: number;
}

/** The tunnels, and what stands between them and their targets. */
export const pathOf: Readonly<Record<string, readonly Spot[]>> = {
  near: ['here', 'near'],
  nearBack: ['here', 'near'],
  inner: ['here', 'gate', 'inner'],
  innerBack: ['here', 'gate', 'inner'],
};

/** Closes what was made, the last first. */
class Made {
  readonly #things: AsyncDisposable[] = [];

  async add<T extends AsyncDisposable>(making: T | Promise<T>): Promise<T> {
    const thing = await making;
    this.#things.push(thing);
    return thing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const thing of this.#things.splice(0).reverse()) await thing[Symbol.asyncDispose]();
  }
}

/** Sets everything up and brings it up. `known` tells the targets which connections to expect. */
export async function setScene(
  schedule: Schedule,
  known: (id: number) => Connection | undefined,
  clock: FairClock,
): Promise<Scene> {
  const made = new Made();
  try {
    const scene = await build(schedule, known, clock, made);
    return { ...scene, [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() };
  } catch (thrown) {
    await made[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function build(
  schedule: Schedule,
  known: (id: number) => Connection | undefined,
  clock: FairClock,
  made: Made,
): Promise<Omit<Scene, typeof Symbol.asyncDispose>> {
  const folder = temporaryFolder('chaos');
  const targets = await made.add(startTargets(join(folder, 'target.sock'), known, clock));
  const sshds = {} as Record<Place, Sshd>;
  const lines = {} as Record<Place, Line>;
  for (const place of places) {
    const config = sshdConfig(schedule.rekey[place]);
    const sshd = await made.add(startSshd({ config, port: await freePort() }));
    sshds[place] = sshd;
    lines[place] = await made.add(openLine(await freePort(), sshd.port));
  }
  const world = await made.add(createWorld());
  const back = { near: await freePort(), inner: await freePort(), path: join(folder, 'back.sock') };
  const inPath = join(folder, 'in.sock');
  world.config(configOf(schedule, sshds, lines, { targets, back, inPath }));
  const up = await world.run(['up', '--timeout', '60s']);
  if (up.code !== 0) throw new Error(`up ended with ${up.code}: ${up.stderr}`);
  const addresses = new Map<string, string>();
  const status = await world.status();
  for (const { name, forwards } of status.tunnels)
    for (const forward of forwards) addresses.set(`${name}.${forward.name}`, forward.listen);
  const ways = waysOf(targets.port, (forward) => {
    const listen = addresses.get(forward) ?? '';
    return listen.startsWith('/') ? listen : Number(listen.split(':').at(-1));
  });
  return { world, sshds, lines, targets, ways, supervisor: status.supervisor.pid ?? 0 };
}

function sshdConfig(rekey: string): string[] {
  return [
    `RekeyLimit ${rekey}`,
    `ClientAliveInterval ${terms.clientAliveSeconds}`,
    `ClientAliveCountMax ${terms.clientAliveCount}`,
    'Subsystem sftp internal-sftp', // a socket file that a dead session left is removed by it
    'LogLevel INFO',
    `LogVerbose ${loggedFunctions.join(',')}`,
  ];
}

/** As further keys of a tunnel. A tunnel that does not share has links of its own, to its jump hosts too. */
function rotateKeys(rotate: Schedule['rotate']): string {
  if (rotate === null) return '';
  return `    rotate: ${rotate.everyMs}ms\n${rotate.shared ? '' : '    share: false\n'}`;
}

function configOf(
  { holdMs, compression, cipher, rotate }: Schedule,
  sshds: Readonly<Record<Place, Sshd>>,
  lines: Readonly<Record<Place, Line>>,
  ends: {
    readonly targets: Targets;
    readonly back: { readonly near: number; readonly inner: number; readonly path: string };
    readonly inPath: string;
  },
): string {
  const host = (place: Place, more = ''): string =>
    `  ${place}: { hostname: 127.0.0.1, port: ${lines[place].port}, user: ${sshds[place].user}, ` +
    `identity: [${sshds[place].identity}], agent: false, host_keys: accept-new${more} }`;
  const { targets, back, inPath } = ends;
  return `
defaults:
  keepalive: { interval: ${terms.keepaliveMs}ms, count: ${terms.keepaliveCount} }
  reconnect: { initial: ${terms.reconnectInitialMs}ms, max: ${terms.reconnectMaxMs}ms }
  connect_timeout: ${terms.connectTimeoutMs}ms
  hold: ${holdMs}ms
  compression: ${compression}
  ciphers: [${cipher}]
hosts:
${host('near')}
${host('gate')}
${host('inner', ', jump: [gate]')}
tunnels:
  near:
    host: near
${rotateKeys(rotate)}    forwards:
      - { name: port, local: auto, remote: ${targets.port} }
      - { name: fromPath, local: ${inPath}, remote: ${targets.port} }
      - { name: toPath, local: auto, remote: ${targets.path} }
      - { name: socks, type: dynamic, local: auto }
  nearBack:
    host: near
    forwards:
      - { name: port, type: remote, remote: ${back.near}, local: ${targets.port} }
      - { name: fromPath, type: remote, remote: ${back.path}, local: ${targets.port} }
  inner:
    host: inner
${rotateKeys(rotate)}    forwards:
      - { name: port, local: auto, remote: ${targets.port} }
      - { name: socks, type: dynamic, local: auto }
  innerBack:
    host: inner
    forwards:
      - { name: port, type: remote, remote: ${back.inner}, local: ${targets.port} }
`;
}

function waysOf(targetPort: number, addressOf: (forward: string) => string | number): OpenWay[] {
  const way = (
    tunnel: string,
    forward: string,
    type: OpenWay['type'],
    more: Partial<Pick<OpenWay, 'clientIsUnix' | 'targetIsUnix'>> = {},
  ): OpenWay => {
    const name = `${tunnel}.${forward}`;
    const at = addressOf(name);
    const socksTo = type === 'dynamic' ? targetPort : null;
    return {
      name,
      tunnel,
      forward,
      type,
      socksTo,
      at: () => at,
      clientIsUnix: false,
      targetIsUnix: false,
      ...more,
    };
  };
  return [
    way('near', 'port', 'local'),
    way('near', 'fromPath', 'local', { clientIsUnix: true }),
    way('near', 'toPath', 'local', { targetIsUnix: true }),
    way('near', 'socks', 'dynamic'),
    way('nearBack', 'port', 'remote'),
    way('nearBack', 'fromPath', 'remote', { clientIsUnix: true }),
    way('inner', 'port', 'local'),
    way('inner', 'socks', 'dynamic'),
    way('innerBack', 'port', 'remote'),
  ];
}
