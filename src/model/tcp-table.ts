// The kernel's tables of TCP sockets as text, /proc/net/tcp and tcp6 (proc(5)): of this machine, or of a server. Pure.

export interface TcpRow {
  /** Hex of the address as the kernel keeps it: 32-bit words in host byte order. */
  readonly address: string;
  readonly port: number;
  readonly remotePort: number;
  /** One of `tcpState`, or another (include/net/tcp_states.h). */
  readonly state: number;
  /** Empty where the row was cut short. */
  readonly inode: string;
}

export const tcpState = { established: 1, timeWait: 6, closeWait: 8, listen: 10 } as const;

/** The rows of a table, skipping what does not parse. */
export function parseTcpTable(text: string): TcpRow[] {
  return text
    .split('\n')
    .map(parseTcpRow)
    .filter((row) => row !== null);
}

/** Null: it is no row, such as the head of the table. */
export function parseTcpRow(line: string): TcpRow | null {
  const [, local = '', remote = '', state = '', , , , , , inode = ''] = line.trim().split(/\s+/);
  const [, address, port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local) ?? [];
  const [, remotePort] = /^[0-9A-F]+:([0-9A-F]{4})$/.exec(remote) ?? [];
  if (address === undefined || port === undefined || remotePort === undefined) return null;
  return {
    address,
    port: Number.parseInt(port, 16),
    remotePort: Number.parseInt(remotePort, 16),
    state: Number.parseInt(state, 16),
    inode,
  };
}
