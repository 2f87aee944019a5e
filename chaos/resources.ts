// What a process holds: descriptors and memory, as the kernel counts them.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { parseTcpTable } from '../src/model/tcp-table.ts';

export interface Resources {
  readonly descriptors: number;
  /** What they are; of TCP both ports and the state. */
  readonly names: readonly string[];
  /** Resident memory of its own (RssAnon), MiB. */
  readonly memoryMib: number;
}

export function resourcesOf(pid: number): Resources {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN);
  const names = descriptorsOf(pid);
  return { descriptors: names.length, names, memoryMib: Math.round(kib / 1024) };
}

function descriptorsOf(pid: number): string[] {
  const rows = ['tcp', 'tcp6'].flatMap((name) => parseTcpTable(readFileSync(`/proc/net/${name}`, 'utf8')));
  return readdirSync(`/proc/${pid}/fd`).map((fd) => {
    const what = linkOf(`/proc/${pid}/fd/${fd}`);
    const row = rows.find(({ inode }) => what === `socket:[${inode}]`);
    return row === undefined ? what : `tcp ${row.port} to ${row.remotePort}, state ${row.state}`;
  });
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return 'closed meanwhile';
  }
}
