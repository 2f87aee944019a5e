// Reads the kernel's table of TCP sockets (/proc/net/tcp, proc(5)); on other systems it knows nothing.
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';

/** A row of /proc/net/tcp or tcp6. */
export interface TcpRow {
  /** Hex of the address as the kernel keeps it: 32-bit words in host byte order. */
  readonly address: string;
  readonly port: number;
  readonly remotePort: number;
  /** TCP_ESTABLISHED is 1, TCP_TIME_WAIT 6, TCP_CLOSE_WAIT 8, TCP_LISTEN 10 (include/net/tcp_states.h). */
  readonly state: number;
  readonly inode: string;
}

/** The rows of a table, skipping what does not parse. */
export function parseTcpTable(text: string): TcpRow[] {
  const rows: TcpRow[] = [];
  for (const line of text.split('\n').slice(1)) {
    const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
    const [address, port] = local?.split(':') ?? [];
    const remotePort = remote?.split(':')[1];
    if (address === undefined || port === undefined || remotePort === undefined) continue;
    if (state === undefined || inode === undefined) continue;
    rows.push({
      address,
      port: parseInt(port, 16),
      remotePort: parseInt(remotePort, 16),
      state: parseInt(state, 16),
      inode,
    });
  }
  return rows;
}

/** Rows of both families; empty where the kernel does not tell. */
export async function readTcpTables(): Promise<TcpRow[]> {
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

export const tcpState = { established: 1, timeWait: 6, closeWait: 8, listen: 10 } as const;

export type ConnectionState = 'open' | 'half-closed' | 'gone' | 'unknown';

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
