// Rows of many tunnels on one server: the time until all are up, and the memory they hold.
import { readFileSync } from 'node:fs';
import { freePort, startSshd } from '../test/helpers/sshd.ts';
import { createWorld, processEnd } from '../test/helpers/world.ts';
import { seconds } from './measures.ts';
import { plainRow, type Row } from './rows.ts';
import { answers, hostLine, startService, startSsh, type Server } from './ways.ts';

/** Proportional set size in MiB: shared pages are counted once in all. */
function memory(pids: readonly number[]): number {
  const kibibytes = pids.map((pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? Number.NaN);
  });
  return kibibytes.reduce((sum, each) => sum + each, 0) / 1024;
}

interface Measured {
  readonly ms: number;
  readonly mebibytes: number;
}

async function ours(server: Server, ports: readonly number[], target: number): Promise<Measured> {
  await using world = createWorld();
  const tunnels = ports.map(
    (port) => `t${port}: { host: box, local: ${port}, remote: "127.0.0.1:${target}" }`,
  );
  world.config(`hosts:\n  ${hostLine('box', server)}\ntunnels:\n  ${tunnels.join('\n  ')}\n`);
  const begin = process.hrtime.bigint();
  const ran = await world.run(['up']);
  if (ran.code !== 0) throw new Error(ran.stderr);
  await Promise.all(ports.map(answers));
  const ms = seconds(begin) * 1000;
  return { ms, mebibytes: memory([(await world.status()).supervisor.pid ?? 0]) };
}

async function theirs(server: Server, ports: readonly number[], target: number): Promise<Measured> {
  const begin = process.hrtime.bigint();
  const children = ports.map((port) => startSsh(server, port, target));
  await Promise.all(ports.map(answers));
  const ms = seconds(begin) * 1000;
  const pids = children.map(({ pid }) => pid ?? 0);
  const mebibytes = memory(pids);
  for (const child of children) child.kill();
  for (const pid of pids) await processEnd(pid);
  return { ms, mebibytes };
}

export async function many(): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  const both = async (count: number): Promise<{ tunnel: Measured; ssh: Measured }> => {
    const ports: number[] = [];
    while (ports.length < count) ports.push(await freePort());
    const distinct = Array.from(new Set(ports));
    const tunnel = await ours(server, distinct, target.port);
    return { tunnel, ssh: await theirs(server, distinct, target.port) };
  };
  const fifty = await both(50);
  const hundred = await both(100);
  return [
    plainRow(
      { what: '50 tunnels, all up', unit: 'ms', goal: '<= 0.20 x' },
      { tunnel: fifty.tunnel.ms, '50 x ssh -N -L': fifty.ssh.ms },
    ),
    plainRow(
      { what: 'memory of 100 tunnels (PSS)', unit: 'MiB', goal: '<= 1.0 x' },
      { tunnel: hundred.tunnel.mebibytes, '100 x ssh -N -L': hundred.ssh.mebibytes },
    ),
  ];
}
