// What the end-to-end tests of forwards share: a config for one test sshd, small clients, and what the kernel says of listeners.
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ForwardStatus, TunnelStatus } from '../../src/model/status.ts';
import { temporaryFolder } from './folder.ts';
import { startSshd, type Sshd } from './sshd.ts';
import { outcomeOf, type Outcome } from './targets.ts';
import type { World } from './world.ts';

/** A config with one host, `box`: the test sshd, noticed dead within a second or two. */
export function boxConfig(sshd: Sshd, tunnels: string, more = ''): string {
  return `
defaults:
  keepalive: { interval: 500ms, count: 2 }
  reconnect: { initial: 100ms, max: 500ms }
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
${more}tunnels:
${tunnels}
`;
}

/** Writes the config and brings everything up; throws with what `up` said when it does not. */
export async function bringUp(world: World, sshd: Sshd, tunnels: string): Promise<string> {
  world.config(boxConfig(sshd, tunnels));
  const ran = await world.run(['up']);
  if (ran.code !== 0) throw new Error(`up ended with ${ran.code}: ${ran.stderr}`);
  return ran.stderr;
}

export function onlyForward(tunnel: TunnelStatus): ForwardStatus {
  const [only] = tunnel.forwards;
  if (only === undefined) throw new Error(`${tunnel.name} has no forward`);
  return only;
}

export const portOf = (listen: string): number => Number(listen.split(':').at(-1));

/** Kills what serves the sessions; the listening sshd goes on. */
export function killSessions(sshd: Sshd): void {
  sshd.signalSessions('SIGKILL');
}

/** Sends, half-closes, reads to the end, over TCP (`HOST:PORT`) or a unix socket. */
export function exchange(at: string, text: string): Promise<Outcome> {
  const socket = clientAt(at);
  const outcome = outcomeOf(socket);
  socket.end(text);
  return outcome;
}

export function clientAt(at: string): Socket {
  return at.startsWith('/')
    ? connect({ path: at, allowHalfOpen: true })
    : connect({ port: portOf(at), host: '127.0.0.1', allowHalfOpen: true });
}

/** Sockets that listen on a TCP port of this machine, IPv4 and IPv6, whoever has them. */
export function listenersOn(port: number): number {
  return tcpRows().filter((row) => row.port === port && row.listens).length;
}

/** Sockets that listen on a path. The flag is __SO_ACCEPTCON (proc(5), /proc/net/unix). */
export function unixListenersOn(path: string): number {
  const rows = readFileSync('/proc/net/unix', 'utf8').split('\n');
  return rows.filter((row) => row.endsWith(` ${path}`) && row.split(/\s+/)[3] === '00010000').length;
}

/** Listening TCP sockets that a process holds, as ports. */
export function listenersOf(pid: number): number[] {
  const inodes = new Set(descriptorsOf(pid).map((link) => /socket:\[(\d+)\]/.exec(link)?.[1]));
  return tcpRows()
    .filter((row) => row.listens && inodes.has(row.inode))
    .map((row) => row.port)
    .sort((a, b) => a - b);
}

/** What the descriptors of a process are. */
export function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
}

function tcpRows(): { port: number; listens: boolean; inode: string }[] {
  return ['/proc/net/tcp', '/proc/net/tcp6']
    .filter((path) => existsSync(path))
    .flatMap((path) => readFileSync(path, 'utf8').split('\n').slice(1))
    .map((row) => row.trim().split(/\s+/))
    .map((cells) => ({
      port: Number.parseInt(cells[1]?.split(':')[1] ?? '0', 16),
      listens: cells[3] === '0A',
      inode: cells[9] ?? '',
    }));
}

export interface Tool {
  readonly code: number;
  readonly stdout: Buffer;
  /** Both streams, as text. */
  readonly output: string;
}

/** Runs a program to its end. */
export function tool(command: string, argv: readonly string[], cwd?: string): Promise<Tool> {
  return new Promise((resolve) => {
    const options = {
      encoding: 'buffer' as const,
      maxBuffer: 1 << 28,
      ...(cwd === undefined ? {} : { cwd }),
    };
    execFile(command, argv, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, output: `${stdout.toString('latin1', 0, 8000)}${stderr.toString()}` });
    });
  });
}

/** Null when a program is here; else why its tests are skipped. REQUIRE_SSHD=1 turns that into a failure. */
export function toolMissing(...names: readonly string[]): string | null {
  const folders = ['/usr/bin', '/bin', '/usr/sbin', '/usr/local/bin'];
  const absent = names.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  if (absent.length === 0) return null;
  if (process.env['REQUIRE_SSHD'] === '1')
    throw new Error(`REQUIRE_SSHD=1, but there is no ${absent.join(', ')} on this machine`);
  process.stderr.write(`skipped: no ${absent.join(', ')} on this machine\n`);
  return `no ${absent.join(', ')} on this machine`;
}

/** An sshd on a machine (a mount namespace) that knows a name which ours does not. */
export function startSshdThatKnows(
  name: string,
  config: readonly string[] = [],
): Promise<Sshd & AsyncDisposable> {
  const hosts = join(temporaryFolder('hosts'), 'hosts');
  writeFileSync(hosts, `127.0.0.1 localhost ${name}\n`);
  const script = `mount --bind ${hosts} /etc/hosts && exec "$@"`;
  return startSshd({ config, launcher: ['unshare', '-m', 'sh', '-c', script, 'sh'] });
}

/** A socket file that nobody listens on any more: its process was killed. */
export async function leaveDeadSocket(path: string): Promise<void> {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('on'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}
