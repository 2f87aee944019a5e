// The ways through that are compared: our tunnel and `ssh -L`, each in a world of its own, each with a pid to look at.
import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, type Sshd } from '../test/helpers/sshd.ts';
import { createWorld, type World } from '../test/helpers/world.ts';

/** One way through: the port to connect to, the process that does the work, and how to end it. */
export interface Way extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

/** A server as both sides are told of it: by its port, which may be a delay line's. */
export interface Server {
  readonly sshd: Sshd;
  readonly port: number;
}

export interface Service extends AsyncDisposable {
  readonly port: number;
}

/** Starts service.ts: the target, or a delay line in front of `to`. */
export async function startService(to?: { port: number; delayMs: number }): Promise<Service> {
  const file = join(import.meta.dirname, 'service.ts');
  const args = to === undefined ? [] : [String(to.port), String(to.delayMs)];
  const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const line = await new Promise<Buffer>((resolve) => child.stdout.once('data', resolve));
  return { port: Number(line.toString()), [Symbol.asyncDispose]: () => ended(child) };
}

/** Bulk without end through a port, until it is disposed of. */
export async function startFlood(port: number, direction: 'up' | 'down'): Promise<AsyncDisposable> {
  const file = join(import.meta.dirname, 'flood.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', file, String(port), direction], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise<Buffer>((resolve) => child.stdout.once('data', resolve));
  return { [Symbol.asyncDispose]: () => ended(child) };
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

export async function viaSsh(
  name: string,
  server: Server,
  target: number,
  options: readonly string[] = [],
): Promise<Way> {
  const local = await freePort();
  const child = startSsh(server, local, target, options);
  await answers(local);
  return { name, port: local, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => ended(child) };
}

/** `ssh -J`, spelled out, since -J gives the jump host no identity. */
export function jumpOptions(jump: Server): string[] {
  const { sshd, port } = jump;
  const options = quiet.filter((option) => option !== '-N').join(' ');
  return ['-o', `ProxyCommand=ssh ${options} -i ${sshd.identity} -p ${port} -W %h:%p ${sshd.user}@127.0.0.1`];
}

/** A line of `hosts:` for tunnels.yaml. */
export function hostLine(name: string, { sshd, port }: Server, more = ''): string {
  return `${name}: { hostname: 127.0.0.1, port: ${port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new${more} }`;
}

export async function viaTunnel(
  server: Server,
  target: number,
  jump?: Server,
): Promise<Way & { readonly world: World }> {
  const world = createWorld();
  const local = await freePort();
  world.config(`
hosts:
  ${hostLine('box', server, jump === undefined ? '' : ', jump: gate')}
  ${jump === undefined ? '' : hostLine('gate', jump)}
tunnels: { bench: { host: box, local: ${local}, remote: "127.0.0.1:${target}" } }
`);
  const ran = await world.run(['up']);
  if (ran.code !== 0) throw new Error(ran.stderr);
  const pid = (await world.status()).supervisor.pid ?? 0;
  return {
    name: 'tunnel',
    port: local,
    pid,
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
