// Rows of many tunnels on one server: the time until all are up, and the memory they hold.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { freePort, startSshd } from '../test/helpers/sshd.ts';
import { createWorld, processEnd } from '../test/helpers/world.ts';
import { quantile, seconds } from './measures.ts';
import { cpuMs, plainRow, type Row } from './rows.ts';
import { answers, hostLine, startService, startSsh, type Server } from './ways.ts';

/** Proportional set size in MiB: shared pages are counted once in all. */
function memory(pids: readonly number[]): number {
  const kibibytes = pids.map((pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? Number.NaN);
  });
  return kibibytes.reduce((sum, each) => sum + each, 0) / 1024;
}

/** The most that a process had resident so far, in MiB (proc(5), VmHWM). */
function peak(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) / 1024;
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

interface Crowd {
  readonly upMs: number;
  readonly cpuMs: number;
  /** After `up`, after some `status`, after the save; and the most that was resident before `down`. */
  readonly mebibytes: Readonly<Record<'up' | 'status' | 'save' | 'peak', number>>;
  /** The slowest `status` of all while they came up; the median of some afterwards. */
  readonly statusMeanwhileMs: number;
  readonly statusMs: number;
  readonly changeMs: number;
  readonly downMs: number;
}

/** The whole life of many tunnels over one link: up, looked at meanwhile, one of them changed on disk, down. */
async function crowd(server: Server, count: number, target: number): Promise<Crowd> {
  await using world = createWorld();
  const ports = await freePorts(count);
  const write = (first: number): void => {
    const lines = ports.map(
      (port, index) =>
        `t${index}: { host: box, local: ${port}, remote: "127.0.0.1:${index === 0 ? first : target}" }`,
    );
    world.config(`hosts:\n  ${hostLine('box', server)}\ntunnels:\n  ${lines.join('\n  ')}\n`);
  };
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const begin = process.hrtime.bigint();
    await work();
    return seconds(begin) * 1000;
  };
  const told = async (args: readonly string[]): Promise<void> => {
    const ran = await world.run(args);
    if (ran.code !== 0) throw new Error(ran.stderr.slice(0, 500));
  };
  write(target);
  const meanwhile: number[] = [];
  let over = false;
  const upMs = timed(() => told(['up'])).finally(() => (over = true));
  const look = async (): Promise<void> => {
    while (!over) {
      const begin = process.hrtime.bigint();
      const { supervisor } = await world.status();
      if (supervisor.running) meanwhile.push(seconds(begin) * 1000);
    }
  };
  const [up] = await Promise.all([upMs, look()]);
  const pid = (await world.status()).supervisor.pid ?? 0;
  const upMebibytes = memory([pid]);
  const after: number[] = [];
  for (let round = 0; round < 5; round += 1) after.push(await timed(() => world.status()));
  const statusMebibytes = memory([pid]);
  write(target + 1);
  const changeMs = await timed(() =>
    world.until('t0', ({ forwards }) => forwards[0]?.target === `127.0.0.1:${target + 1}`),
  );
  const mebibytes = { up: upMebibytes, status: statusMebibytes, save: memory([pid]), peak: peak(pid) };
  const spent = { cpuMs: cpuMs(pid) ?? Number.NaN, mebibytes };
  const downMs = await timed(() => told(['down']));
  const statusMeanwhileMs = Math.max(0, ...meanwhile);
  return { upMs: up, ...spent, statusMeanwhileMs, statusMs: quantile(after, 0.5), changeMs, downMs };
}

/** All of them free at the same moment, so none twice. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      return taken;
    }),
  );
  const ports = servers.map((taken) => (taken.address() as AddressInfo).port);
  await Promise.all(servers.map((taken) => new Promise((resolve) => taken.close(resolve))));
  return ports;
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

const sizes = (process.env['CROWD'] ?? '100,400,1000').split(',').map(Number);

export async function crowds(): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  const crowds: Crowd[] = [];
  for (const size of sizes) crowds.push(await crowd(server, size, target.port));
  const scale = (what: string, goal: string, unit: string, of: (one: Crowd) => number): Row =>
    plainRow(
      { what: `many tunnels on one link, ${what}`, unit, goal, base: 0 },
      Object.fromEntries(crowds.map((one, index) => [`${sizes[index]} tunnels`, of(one)])),
    );
  return [
    scale('all up', '1000 in 5 s', 'ms', ({ upMs }) => upMs),
    scale('processor time of the supervisor', 'grows with their number', 'ms', (one) => one.cpuMs),
    scale('memory after up (PSS)', 'told', 'MiB', ({ mebibytes }) => mebibytes.up),
    scale('memory after status (PSS)', 'told', 'MiB', ({ mebibytes }) => mebibytes.status),
    scale('memory after a save (PSS)', 'told', 'MiB', ({ mebibytes }) => mebibytes.save),
    scale('most memory before down (RSS)', 'told', 'MiB', ({ mebibytes }) => mebibytes.peak),
    scale('status while they come up, slowest', '1000 in 0.3 s', 'ms', (one) => one.statusMeanwhileMs),
    scale('status', '1000 in 0.3 s', 'ms', ({ statusMs }) => statusMs),
    scale('a saved change of one', '1000 in 1 s', 'ms', ({ changeMs }) => changeMs),
    scale('all down', 'told', 'ms', ({ downMs }) => downMs),
  ];
}
