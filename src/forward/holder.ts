// The holder: which process has a busy port, and which port near it is free.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { runProgram } from '../files/child.ts';
import { readTcpTables, tcpState, type TcpRow } from './proc-net.ts';

/** A process that holds a port. */
export interface Holder {
  readonly pid: number;
  readonly command: string;
  /** The config file, when it is a supervisor of this program. */
  readonly supervises: string | null;
}

/** The process that listens on a TCP port; null where the system does not tell (another user's process). */
export async function holderOf(port: number): Promise<Holder | null> {
  if (process.platform !== 'linux') return holderByLsof(port);
  const listening = (await readTcpTables()).filter(
    (row) => row.port === port && row.state === tcpState.listen,
  );
  return processWith(listening);
}

/** A connection that keeps a port from being listened on, though nothing listens there. */
export type Blocking =
  | { readonly kind: 'connection'; readonly of: Holder | null }
  /** It has ended, and the system waits for stray packets of it (RFC 9293 3.6.1). */
  | { readonly kind: 'time-wait' };

/** Null where there is none, or where the system does not tell. */
export async function blockingConnection(port: number): Promise<Blocking | null> {
  const rows = (await readTcpTables()).filter((row) => row.port === port && row.state !== tcpState.listen);
  const open = rows.filter(({ state }) => state !== tcpState.timeWait);
  if (open.length > 0) return { kind: 'connection', of: await processWith(open) };
  return rows.length === 0 ? null : { kind: 'time-wait' };
}

/** Looks for an open descriptor of one of the sockets in /proc/PID/fd (proc(5)). */
async function processWith(rows: readonly TcpRow[]): Promise<Holder | null> {
  if (rows.length === 0) return null;
  const sockets = new Set(rows.map((row) => `socket:[${row.inode}]`));
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const folder = `/proc/${pid}/fd`;
    const descriptors = await readdir(folder).catch(() => []); // not ours to read, or gone meanwhile
    for (const descriptor of descriptors) {
      const link = await readlink(`${folder}/${descriptor}`).catch(() => '');
      if (sockets.has(link)) return { pid: Number(pid), ...(await commandOf(pid)) };
    }
  }
  return null;
}

const interpreters = /^(node|nodejs|deno|bun|python[\d.]*|ruby|perl|java)$/;

/** An interpreter is told with what it runs: that says which one. */
async function commandOf(pid: string): Promise<Pick<Holder, 'command' | 'supervises'>> {
  const name = printable(await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')) || 'a process';
  const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0').map(printable);
  const at = argv.indexOf('__supervise'); // see daemon/launch
  if (at > 0 && argv[at + 1]?.startsWith('/') === true)
    return { command: 'tunnel', supervises: argv[at + 1] ?? null };
  const program = basename(argv[0] ?? '');
  const script = argv[1] ?? '';
  if (!interpreters.test(program) || !/^[^-\s]\S*$/.test(script)) return { command: name, supervises: null };
  return { command: `${program} ${basename(script)}`, supervises: null };
}

/** Somebody else's process name: shown without control characters. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').trim();
}

/** `lsof -F` prints one field a line: p for the pid, c for the command (lsof(8)). */
async function holderByLsof(port: number): Promise<Holder | null> {
  const argv = ['lsof', '-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'];
  const run = await runProgram(argv, { env: process.env, deadlineMs: 2000, outputLimitBytes: 64 * 1024 });
  const output = run.output.toString('utf8');
  const pid = /^p(\d+)$/m.exec(output)?.[1];
  const command = /^c(.+)$/m.exec(output)?.[1];
  if (pid === undefined) return null;
  return { pid: Number(pid), command: printable(command ?? '') || 'a process', supervises: null };
}

/** How far from the port that was asked for a free one is looked for. */
const searchPorts = 100;

/** The first free port above `port` on all of `hosts`; null when none is near. Racy by nature: a proposal. */
export async function nearestFreePort(hosts: readonly string[], port: number): Promise<number | null> {
  const last = Math.min(port + searchPorts, 65_535);
  for (let candidate = port + 1; candidate <= last; candidate += 1) {
    if (await allFree(hosts, candidate)) return candidate;
  }
  return null;
}

async function allFree(hosts: readonly string[], port: number): Promise<boolean> {
  for (const host of hosts) {
    if (!(await free(host, port))) return false;
  }
  return true;
}

function free(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'EADDRINUSE' && error.code !== 'EACCES'),
    );
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
