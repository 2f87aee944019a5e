// What a run was made on and with, in words: figures of another machine are other figures.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';

function firstLine(command: string, args: readonly string[]): string | null {
  const { stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (error !== undefined) return null;
  return `${stdout}${stderr}`.split('\n')[0] ?? null;
}

function congestionControl(): string | null {
  try {
    return readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim();
  } catch {
    return null; // not Linux
  }
}

export function machine(): Readonly<Record<string, string>> {
  const own = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    version: string;
  };
  const facts: Readonly<Record<string, string | null>> = {
    processors: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${type()} ${release()}`,
    'congestion control': congestionControl(),
    node: `${process.version}, OpenSSL ${process.versions.openssl}`,
    ssh: firstLine('ssh', ['-V']),
    pgbench: firstLine('pgbench', ['--version']),
    tunnel: own.version,
  };
  return Object.fromEntries(
    Object.entries(facts).filter((each): each is [string, string] => each[1] !== null),
  );
}

/** What share of the processors' time is spent now, 0 to 1, seen for a second: before a run it is other people's work. */
export async function busyShare(): Promise<number> {
  const times = (): { readonly idle: number; readonly all: number } => {
    const each = cpus().map((cpu) => cpu.times);
    const sum = (parts: readonly number[]): number => parts.reduce((one, other) => one + other, 0);
    return { idle: sum(each.map(({ idle }) => idle)), all: sum(each.flatMap((one) => Object.values(one))) };
  };
  const before = times();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = times();
  return 1 - (after.idle - before.idle) / Math.max(1, after.all - before.all);
}
