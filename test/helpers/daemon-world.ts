// A home with a config and supervisors that are real processes; every one of them is gone when the test is over.
import { build } from 'esbuild';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ControlClient } from '../../src/control/client.ts';
import type { UpParams, UpResult } from '../../src/control/protocol.ts';
import { readAddress } from '../../src/control/address.ts';
import { needSupervisor } from '../../src/client/launch.ts';
import { placesOfConfig } from '../../src/config/locate.ts';
import { connectSupervisor } from '../../src/control/reach.ts';
import type { StatusDocument } from '../../src/model/status.ts';
import { placesOf, type PlaceFacts, type SupervisorPlaces } from '../../src/paths.ts';
import { temporaryFolder } from './folder.ts';

const root = resolve(import.meta.dirname, '../..');
let program: Promise<readonly [string, string]> | null = null;

/** The supervisor in one file, so that ten of them start in the time of one run from sources. Removed at exit. */
function bundledProgram(): Promise<readonly [string, string]> {
  program ??= (async () => {
    const folder = join(root, 'node_modules', '.cache', `supervise-${process.pid}`);
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    const outfile = join(folder, 'supervise.mjs');
    await build({
      entryPoints: [join(root, 'test/helpers/supervise.ts')],
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20.19',
      external: ['ssh2', 'ssh2/*', 'keytar'],
      logLevel: 'error',
      banner: {
        js: [
          "import { createRequire as __createRequire } from 'node:module';",
          "import { fileURLToPath as __fileURLToPath } from 'node:url';",
          'const require = __createRequire(import.meta.url);',
          'const __filename = __fileURLToPath(import.meta.url);',
          "const __dirname = __fileURLToPath(new URL('.', import.meta.url));",
        ].join('\n'),
      },
    });
    return [process.execPath, outfile] as const;
  })();
  return program;
}

export interface DaemonWorld extends AsyncDisposable {
  readonly home: string;
  readonly config: string;
  readonly facts: PlaceFacts;
  readonly at: SupervisorPlaces;
  /** That its supervisors run. */
  readonly program: readonly [string, string];
  write(yaml: string, file?: string): void;
  /** Connects, starting a supervisor when none runs. */
  need(config?: string): Promise<ControlClient>;
  /** Connects to a running one. */
  connect(): Promise<ControlClient | null>;
  status(): Promise<StatusDocument | null>;
  /** `up` off a terminal, with a second's patience. */
  up(selectors?: readonly string[], more?: Partial<UpParams>): Promise<UpResult>;
  pid(): number;
  /** Where the running supervisor listens. */
  socket(): string | null;
  log(): string;
  wanted(): readonly string[];
  /** `up --foreground`. */
  foreground(...selectors: string[]): Promise<Foreground>;
}

export interface Foreground {
  readonly child: ChildProcess;
  readonly stderr: () => string;
  readonly exit: Promise<number | null>;
}

/** `up` off a terminal, with a second's patience. */
export const plainUp: UpParams = {
  selectors: [],
  timeoutMs: 1000,
  interactive: false,
  acceptNew: false,
  environment: { variables: {}, agentSockets: [] },
  remap: false,
};

/** A tunnel that is wanted and can never be up: nothing listens on port 1. */
export const hopeless = 'tunnels: { web: { host: "me@127.0.0.1:1", local: auto, remote: 22, hold: 0s } }\n';

export async function createDaemonWorld(
  yaml: string = hopeless,
  environment: Record<string, string> = {},
): Promise<DaemonWorld> {
  const home = temporaryFolder('daemon');
  const { PATH = '/usr/bin:/bin', LANG = 'C' } = process.env;
  const env = { PATH, LANG, HOME: home, TUNNEL_HOME: home, ...environment };
  const facts: PlaceFacts = {
    env,
    platform: process.platform,
    uid: process.getuid?.() ?? 0,
    home,
    tmpdir: environment['TMPDIR'] ?? tmpdir(),
    hostname: hostname(),
    cwd: home,
  };
  const config = join(home, 'tunnels.yaml');
  const at = placesOfConfig(config, facts);
  const run = await bundledProgram();
  const clients: ControlClient[] = [];
  const children: ChildProcess[] = [];
  const keep = <T extends ControlClient | null>(client: T): T => {
    if (client !== null) clients.push(client);
    return client;
  };
  const world: DaemonWorld = {
    home,
    config,
    facts,
    at,
    program: run,
    write: (text, file = config) => writeFileSync(file, text, { mode: 0o600 }),
    need: async (file = config) => keep(await needSupervisor({ config: file, facts, program: run })),
    connect: async () => keep(await connectSupervisor(at, facts)),
    async status() {
      const client = await world.connect();
      return client === null ? null : client.call('status', { selectors: [] });
    },
    async up(selectors = [], more = {}) {
      const client = await world.need();
      return client.call('up', { ...plainUp, selectors, ...more });
    },
    pid: () => readAddress(at.address)?.pid ?? 0,
    socket: () => readAddress(at.address)?.socket ?? null,
    log: () => readFileSync(at.log, 'utf8'),
    wanted: () => (JSON.parse(readFileSync(at.wanted, 'utf8')) as { names: string[] }).names,
    async foreground(...selectors) {
      const child = spawn(run[0], [run[1], 'foreground', config, ...selectors], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      children.push(child);
      let text = '';
      child.stderr.on('data', (chunk) => (text += String(chunk)));
      const exit = once(child, 'exit').then(([code]) => code as number | null);
      await once(child, 'spawn');
      return { child, stderr: () => text, exit };
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      for (const pid of supervisorPids(facts)) await killAndWait(pid);
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }
    },
  };
  mkdirSync(home, { recursive: true });
  world.write(yaml);
  return world;
}

/** Processes that hold a lock in this home. */
function supervisorPids(facts: PlaceFacts): number[] {
  const { machineDir } = placesOf(facts);
  if (!existsSync(machineDir)) return [];
  return readdirSync(machineDir).flatMap((name) => {
    try {
      return [(JSON.parse(readFileSync(join(machineDir, name, 'lock'), 'utf8')) as { pid: number }).pid];
    } catch {
      return []; // ended in good order
    }
  });
}

export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false; // no such process
  }
}

async function killAndWait(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return; // gone already
  }
  while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}
