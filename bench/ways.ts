// The ways through that are compared: our tunnel and `ssh -L`, each in a world of its own, each with a pid to look at.
import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../test/helpers/ports.ts';
import { descendants, type Sshd } from '../test/helpers/sshd.ts';
import { createWorld, type World } from '../test/helpers/world.ts';

/** One way through: the port to connect to, the processes that do the work, and how to end it. */
export interface Way extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  /** The supervisor, or ssh and what it runs. */
  readonly pids: () => readonly number[];
  /** Those that serve this way's sessions. */
  readonly sshdPids: readonly number[];
  readonly targetPid: number;
}

/** A server as both sides are told of it: by its port, which may be a delay line's. */
export interface Server {
  readonly sshd: Sshd;
  readonly port: number;
}

/** What is behind the tunnels. */
export interface Target {
  readonly port: number;
  readonly pid: number;
}

export interface Service extends Target, AsyncDisposable {}

/** Starts service.ts, the target. */
export function startService(): Promise<Service> {
  return startScript('service.ts', []);
}

/** Starts link.ts: a link with a delay each way, and a rate. */
export function startLink(port: number, oneWayMs: number, bytesPerSecond = Infinity): Promise<Service> {
  return startScript('link.ts', [port, oneWayMs, bytesPerSecond].map(String));
}

/** A script of ours as a process of its own; its first line is its port. */
async function startScript(name: string, args: readonly string[]): Promise<Service> {
  const file = join(import.meta.dirname, name);
  const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const line = await new Promise<Buffer>((resolve) => child.stdout.once('data', resolve));
  return { port: Number(line.toString()), pid: child.pid ?? 0, [Symbol.asyncDispose]: () => ended(child) };
}

/** Bulk without end through a port, until it is disposed of. */
export function startFlood(port: number, direction: 'up' | 'down'): Promise<AsyncDisposable> {
  return startScript('flood.ts', [String(port), direction]);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  await gone;
}

const quiet = [
  ['-F', 'none', '-N'],
  ['-o', 'StrictHostKeyChecking=no'],
  ['-o', 'UserKnownHostsFile=/dev/null'],
  ['-o', 'LogLevel=ERROR'],
].flat();

/** Starts ssh with one forward; does not wait for it. */
export function startSsh(
  server: Server,
  local: number,
  target: number,
  options: readonly string[] = [],
): ChildProcess {
  const { sshd, port } = server;
  const way = ['-i', sshd.identity, '-p', String(port), '-L', `127.0.0.1:${local}:127.0.0.1:${target}`];
  return spawn('ssh', [...quiet, ...options, ...way, `${sshd.user}@127.0.0.1`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** What another way may be told besides: options of ssh, and a jump host. */
export interface Route {
  readonly options?: readonly string[];
  readonly jump?: Server;
}

export async function viaSsh(
  name: string,
  server: Server,
  target: Target,
  { options = [], jump }: Route = {},
): Promise<Way> {
  const local = await freePort();
  const sessions = newSessions(server, jump);
  const hop = jump === undefined ? [] : jumpOptions(jump);
  const child = startSsh(server, local, target.port, [...options, ...hop]);
  await answers(local);
  return {
    name,
    port: local,
    pids: () => [child.pid ?? 0, ...descendants(child.pid ?? 0)],
    sshdPids: sessions(),
    targetPid: target.pid,
    [Symbol.asyncDispose]: () => ended(child),
  };
}

/** The session processes that were not there before. */
function newSessions(server: Server, jump?: Server): () => readonly number[] {
  const now = (): number[] =>
    [server, ...(jump === undefined ? [] : [jump])].flatMap(({ sshd }) => sshd.sessionPids());
  const before = new Set(now());
  return () => now().filter((pid) => !before.has(pid));
}

/** A forwarder that was given by its command line, run by a shell. */
export async function viaCommand(
  { name, command }: { readonly name: string; readonly command: string },
  server: Server,
  target: Target,
): Promise<Way> {
  const local = await freePort();
  const { user, identity } = server.sshd;
  const facts: Readonly<Record<string, string | number>> = {
    local,
    target: target.port,
    port: server.port,
    user,
    identity,
  };
  const line = command.replaceAll(/\{(\w+)\}/g, (all, word: string) => String(facts[word] ?? all));
  const sessions = newSessions(server);
  const child = spawn('sh', ['-c', `exec ${line}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  const failed = new Promise<never>((_, reject) =>
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}: ${line}`))),
  );
  failed.catch(() => undefined); // of interest only until it answers
  await Promise.race([answers(local), failed]);
  return {
    name,
    port: local,
    pids: () => [child.pid ?? 0, ...descendants(child.pid ?? 0)],
    sshdPids: sessions(),
    targetPid: target.pid,
    [Symbol.asyncDispose]: () => ended(child),
  };
}

/** The target itself, without anything between. */
export function direct(target: Target): Way {
  return {
    name: 'direct',
    port: target.port,
    pids: () => [],
    sshdPids: [],
    targetPid: target.pid,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** `ssh -J`, spelled out, since -J gives the jump host no identity. */
function jumpOptions(jump: Server): string[] {
  const { sshd, port } = jump;
  const options = quiet.filter((option) => option !== '-N').join(' ');
  return ['-o', `ProxyCommand=ssh ${options} -i ${sshd.identity} -p ${port} -W %h:%p ${sshd.user}@127.0.0.1`];
}

/** A line of `hosts:` for tunnels.yaml. */
export function hostLine(name: string, { sshd, port }: Server, more = ''): string {
  return `${name}: { hostname: 127.0.0.1, port: ${port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new${more} }`;
}

/** `bin`: another copy of the program than the one that was built here. */
export async function viaTunnel(
  server: Server,
  target: Target,
  { jump, bin, name = 'tunnel' }: { jump?: Server; bin?: string; name?: string } = {},
): Promise<Way & { readonly world: World; readonly pid: number }> {
  const world = createWorld(bin === undefined ? {} : { bin });
  const local = await freePort();
  world.config(`
hosts:
  ${hostLine('box', server, jump === undefined ? '' : ', jump: gate')}
  ${jump === undefined ? '' : hostLine('gate', jump)}
tunnels: { bench: { host: box, local: ${local}, remote: "127.0.0.1:${target.port}" } }
`);
  const sessions = newSessions(server, jump);
  const ran = await world.run(['up']);
  if (ran.code !== 0) throw new Error(ran.stderr);
  const pid = (await world.status()).supervisor.pid ?? 0;
  return {
    name,
    port: local,
    pid,
    pids: () => [pid],
    sshdPids: sessions(),
    targetPid: target.pid,
    world,
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

/** Resolves once a port takes connections. */
export async function answers(port: number): Promise<void> {
  const open = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  while (!(await open())) await new Promise((resolve) => setTimeout(resolve, 10));
}
