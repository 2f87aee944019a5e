// The kernel's table of TCP sockets: what the client of a connection has done, and which process has a busy port.
// From /proc/net/tcp (proc(5)); where there is none, from lsof, or nothing is known.
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { basename } from 'node:path';
import { runProgram } from '../files/child.ts';
import { parseTcpTable, tcpState, type TcpRow } from '../model/tcp-table.ts';

/** Rows of both families; empty where the kernel does not tell. */
async function readTcpTables(): Promise<TcpRow[]> {
  const read = async (file: string): Promise<TcpRow[]> => {
    try {
      return parseTcpTable(await readFile(file, 'utf8'));
    } catch {
      return []; // not Linux, or /proc is not mounted: nothing can be known
    }
  };
  const tables = await Promise.all([read('/proc/net/tcp'), read('/proc/net/tcp6')]);
  return tables.flat();
}

type ConnectionState = 'open' | 'half-closed' | 'gone' | 'unknown';

/** What the peer of an accepted TCP connection has done, without reading from it. */
export async function localConnectionState(socket: Socket): Promise<ConnectionState> {
  const { localPort, remotePort } = socket;
  if (localPort === undefined || remotePort === undefined) return 'unknown';
  const rows = await readTcpTables();
  if (rows.length === 0) return 'unknown';
  const states = rows
    .filter((row) => row.port === localPort && row.remotePort === remotePort)
    .map((row) => row.state);
  if (states.length === 0) return 'gone';
  if (states.includes(tcpState.established)) return 'open';
  return states.includes(tcpState.closeWait) ? 'half-closed' : 'open';
}

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
type Blocking =
  | { readonly kind: 'connection'; readonly of: Holder | null }
  /** The connection has ended, and the system waits for stray packets of it (RFC 9293 3.6.1). */
  | { readonly kind: 'time-wait' };

/** Null where there is none, or where the system does not tell. */
export async function blockingConnection(port: number): Promise<Blocking | null> {
  const rows = (await readTcpTables()).filter((row) => row.port === port && row.state !== tcpState.listen);
  const open = rows.filter(({ state }) => state !== tcpState.timeWait);
  if (open.length > 0) return { kind: 'connection', of: await processWith(open) };
  return rows.length === 0 ? null : { kind: 'time-wait' };
}

/** The process that has one of the sockets open; null where none is seen. */
async function processWith(rows: readonly TcpRow[]): Promise<Holder | null> {
  if (rows.length === 0) return null;
  for await (const [, holder] of processesWith(new Set(rows.map(({ inode }) => inode)))) return holder;
  return null;
}

/** Looks for open descriptors of the sockets in /proc/PID/fd (proc(5)), until each has been seen. */
async function* processesWith(inodes: ReadonlySet<string>): AsyncGenerator<readonly [string, Holder]> {
  const missing = new Map([...inodes].map((inode) => [`socket:[${inode}]`, inode]));
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    if (missing.size === 0) return;
    const folder = `/proc/${pid}/fd`;
    const descriptors = await readdir(folder).catch(() => []); // not ours to read, or gone meanwhile
    for (const descriptor of descriptors) {
      const link = await readlink(`${folder}/${descriptor}`).catch(() => '');
      const inode = missing.get(link);
      if (inode === undefined || !missing.delete(link)) continue;
      yield [inode, { pid: Number(pid), ...(await commandOf(pid)) }];
    }
  }
}

/** One end of a TCP connection on this machine, by the ports of both. */
export interface LocalEnd {
  readonly port: number;
  readonly remotePort: number;
}

/** The processes that have these ends open; null for one that is not seen: another user's, or on another machine. */
export async function programsAt(ends: readonly LocalEnd[]): Promise<readonly (Holder | null)[]> {
  if (process.platform !== 'linux') return programsByLsof(ends);
  const rows = await readTcpTables();
  const inodes = ends.map(
    (end) =>
      rows.find(
        ({ port, remotePort, inode }) =>
          port === end.port && remotePort === end.remotePort && inode !== '0' /* nobody has it any more */,
      )?.inode,
  );
  const found = new Map<string, Holder>();
  const sought = new Set(inodes.filter((inode) => inode !== undefined));
  for await (const [inode, holder] of processesWith(sought)) found.set(inode, holder);
  return inodes.map((inode) => (inode === undefined ? null : (found.get(inode) ?? null)));
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

async function programsByLsof(ends: readonly LocalEnd[]): Promise<readonly (Holder | null)[]> {
  const argv = ['lsof', '-nP', '-iTCP', '-sTCP:ESTABLISHED', '-Fpcn'];
  const run = await runProgram(argv, { env: process.env, deadlineMs: 2000, outputLimitBytes: 1024 * 1024 });
  const found = parseLsof(run.output.toString('utf8'));
  return ends.map(({ port, remotePort }) => found.get(`${port} ${remotePort}`) ?? null);
}

/** Who has a connection, by `PORT REMOTEPORT`: lines p for the pid, c for the command, n for `1.2.3.4:80->5.6.7.8:90` (lsof(8)). */
export function parseLsof(text: string): ReadonlyMap<string, Holder> {
  const found = new Map<string, Holder>();
  let pid = 0;
  let command = '';
  for (const line of text.split('\n')) {
    const [, field, value = ''] = /^([pcn])(.*)$/.exec(line) ?? [];
    const ports = /:(\d+)->.*:(\d+)$/.exec(value);
    if (field === 'p') pid = Number(value);
    else if (field === 'c') command = printable(value) || 'a process';
    else if (ports !== null) found.set(`${ports[1]} ${ports[2]}`, { pid, command, supervises: null });
  }
  return found;
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
