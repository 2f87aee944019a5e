// What listens on a server: the one command that asks it, and what its answer means. Pure.
// A shell, and ss, /proc/net or netstat: what any server has. Nothing is put there.
import { parseTcpRow, tcpState } from './tcp-table.ts';

/** A TCP port that is listened on; `program` and `pid` are null where the account may not see them. */
export interface ServerPort {
  /** "127.0.0.1", "0.0.0.0", "::": where it listens. */
  readonly address: string;
  readonly port: number;
  readonly program: string | null;
  readonly pid: number | null;
}

const firstLine = 'tunnel ports 1';

/** Without a quote, a line feed or a `!` inside: the login shell of the account may be any. */
export const portsCommand = `sh -c '${[
  'LC_ALL=C; export LC_ALL',
  `echo "${firstLine}"`,
  'if ss -ltn >/dev/null 2>&1; then echo "# ss"; ss -ltnp 2>/dev/null',
  'elif [ -r /proc/net/tcp ]; then echo "# proc"; cat /proc/net/tcp /proc/net/tcp6 2>/dev/null',
  'else echo "# netstat"; netstat -an 2>/dev/null; fi',
].join('; ')}'`;

/** How long the answer may take and how long it may be. */
export const portsLimits = { timeoutMs: 10_000, mostBytes: 256 * 1024 } as const;

/** By port, each once; null when it was not our command that answered. */
export function readServerPorts(output: string): readonly ServerPort[] | null {
  const lines = output.split(/\r?\n/);
  const start = lines.indexOf(firstLine); // a login shell may greet before it
  const reader = readers[lines[start + 1] ?? ''];
  if (start < 0 || reader === undefined) return null;
  const found = lines.slice(start + 2).flatMap((line) => reader(line) ?? []);
  const each = new Map(found.map((one) => [`${one.port} ${one.address}`, one]));
  return [...each.values()].sort((a, b) => a.port - b.port || (a.address < b.address ? -1 : 1));
}

type LineReader = (line: string) => ServerPort | null;

const readers: Readonly<Record<string, LineReader>> = {
  '# ss': ssLine,
  '# proc': procLine,
  '# netstat': netstatLine,
};

/** `LISTEN 0 128 127.0.0.1:5432 0.0.0.0:* users:(("postgres",pid=12,fd=5))` (ss(8)). */
function ssLine(line: string): ServerPort | null {
  const [state, , , local = ''] = line.trim().split(/\s+/);
  if (state !== 'LISTEN') return null;
  const at = addressAndPort(local, ':');
  if (at === null) return null;
  const [, program = null, pid = null] = /users:\(\("((?:[^"\\]|\\.)*)",pid=(\d+)/.exec(line) ?? [];
  return { ...at, program, pid: pid === null ? null : Number(pid) };
}

/** `tcp4 0 0 127.0.0.1.5432 *.* LISTEN` of the BSDs, `tcp 0 0 127.0.0.1:5432 0.0.0.0:* LISTEN` of Linux (netstat(8)). */
function netstatLine(line: string): ServerPort | null {
  const [protocol = '', , , local = '', , state] = line.trim().split(/\s+/);
  if (!protocol.startsWith('tcp') || (state !== 'LISTEN' && state !== 'LISTENING')) return null;
  const at = addressAndPort(local, /:\d+$/.test(local) ? ':' : '.');
  if (at === null) return null;
  const any = protocol.endsWith('6') || protocol.endsWith('46') ? '::' : '0.0.0.0';
  return { ...at, address: local.startsWith('*') ? any : at.address, program: null, pid: null };
}

function addressAndPort(local: string, separator: ':' | '.'): { address: string; port: number } | null {
  const end = local.lastIndexOf(separator);
  const port = Number(local.slice(end + 1));
  if (end < 0 || !Number.isInteger(port) || port < 1 || port > 65_535) return null;
  const written = local.slice(0, end).replace(/^\[(.*)\]$/, '$1');
  return { address: written === '*' ? '::' : plainAddress(written.replace(/%.*$/, '')), port };
}

/** IPv4 in IPv6 is IPv4 to whoever connects. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.)/i, '');

/** Words of the address in the byte order of the machine, nearly always little-endian (proc(5)). */
function procLine(line: string): ServerPort | null {
  const row = parseTcpRow(line);
  if (row?.state !== tcpState.listen) return null;
  const bytes = Buffer.from(row.address, 'hex');
  for (let word = 0; word < bytes.length; word += 4) bytes.subarray(word, word + 4).reverse();
  return { address: plainAddress(addressOf(bytes)), port: row.port, program: null, pid: null };
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2));
  const written = groups.map((group) => group.toString(16)).join(':');
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return `::ffff:${bytes.subarray(12).join('.')}`;
  // the longest run of zeros is `::` (RFC 5952 4.2)
  const runs = [...written.matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
  const longest = runs.sort((one, other) => other[0].length - one[0].length)[0];
  if (longest === undefined) return written;
  const before = written.slice(0, longest.index).replace(/:$/, '');
  const after = written.slice(longest.index + longest[0].length).replace(/^:/, '');
  return `${before}::${after}`;
}
