// Rows of many tunnels on one server: the time until all are up, the memory they hold, and the whole life of a crowd.
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { startSshd } from '../test/helpers/sshd.ts';
import { createWorld, processEnd, type World } from '../test/helpers/world.ts';
import type { Form } from './form.ts';
import { seconds } from './measures.ts';
import { cpuMs, memory, peakMemory } from './processes.ts';
import { goal, quantile, rowOf, type Goal, type Head, type Row } from './rows.ts';
import { answers, hostLine, startService, startSsh, type Server } from './ways.ts';

interface Measured {
  readonly ms: number;
  readonly mebibytes: number;
}

async function ours(
  world: World,
  server: Server,
  ports: readonly number[],
  { port: target, staysMs = 0 }: { readonly port: number; readonly staysMs?: number },
): Promise<Measured> {
  const tunnels = ports.map(
    (port) => `t${port}: { host: box, local: ${port}, remote: "127.0.0.1:${target}" }`,
  );
  world.config(`hosts:\n  ${hostLine('box', server)}\ntunnels:\n  ${tunnels.join('\n  ')}\n`);
  const begin = process.hrtime.bigint();
  const ran = await world.run(['up']);
  if (ran.code !== 0) throw new Error(ran.stderr);
  await Promise.all(ports.map(answers));
  const ms = seconds(begin) * 1000;
  const pid = (await world.status()).supervisor.pid ?? 0;
  const mebibytes = memory([pid]);
  await new Promise((resolve) => setTimeout(resolve, staysMs));
  await world.run(['down']);
  await processEnd(pid);
  return { ms, mebibytes };
}

/** By then a first supervisor has kept V8's code for the next one (src/cli/start.ts). */
const keptMs = 4000;

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
  const mebibytes = { up: upMebibytes, status: statusMebibytes, save: memory([pid]), peak: peakMemory(pid) };
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

export async function many(form: Form): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  const both = async (head: Head, count: number, figure: keyof Measured): Promise<Row> => {
    const [own, others]: [number[], number[]] = [[], []];
    await using world = createWorld();
    await ours(world, server, await freePorts(1), { port: target.port, staysMs: keptMs }); // a new home: whoever has tunnels has run it before
    for (let round = 0; round < Math.ceil(form.rounds / 3); round += 1) {
      const ports = await freePorts(count);
      own.push((await ours(world, server, ports, target))[figure]);
      others.push((await theirs(server, ports, target.port))[figure]);
    }
    return rowOf(
      { ...head, base: `${count} x ssh -N -L` },
      { tunnel: own, [`${count} x ssh -N -L`]: others },
    );
  };
  const time = {
    what: '50 tunnels to one server, all up',
    unit: 'ms',
    meaning:
      'From the command until every one of the 50 ports takes connections, for somebody who has run tunnel before.',
    goals: [goal('<=', { times: 0.2, of: '50 x ssh -N -L' })],
  };
  const held = {
    what: 'memory of 100 tunnels',
    unit: 'MiB',
    meaning:
      'What one supervisor with 100 tunnels holds, and what 100 ssh hold (PSS: shared pages counted once).',
    goals: [goal('<=', { times: 0.5, of: '100 x ssh -N -L' })],
  };
  return [await both(time, 50, 'ms'), await both(held, 100, 'mebibytes')];
}

export async function crowds({ crowd: sizes }: Form): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  const seen: Crowd[] = [];
  for (const size of sizes) seen.push(await crowd(server, size, target.port));
  const nameOf = (size: number): string => `${size} tunnels`;
  const row = (what: string, unit: string, of: (one: Crowd) => number, goals: readonly Goal[] = []): Row =>
    rowOf(
      {
        what: `many tunnels on one link: ${what}`,
        unit,
        meaning:
          'One supervisor with many tunnels: they come up, are looked at, one of them is changed in the file, and they go down.',
        goals: sizes.includes(1000) ? goals : [],
      },
      Object.fromEntries(seen.map((one, index) => [nameOf(sizes[index] ?? 0), [of(one)]])),
    );
  const thousand = (limit: number): readonly Goal[] => [goal('<=', { plus: limit }, { cell: nameOf(1000) })];
  return [
    row('all up', 'ms', ({ upMs }) => upMs, thousand(5000)),
    row('processor time of the supervisor', 'ms', (one) => one.cpuMs),
    row('memory after up (PSS)', 'MiB', ({ mebibytes }) => mebibytes.up),
    row('memory after status (PSS)', 'MiB', ({ mebibytes }) => mebibytes.status),
    row('memory after a save (PSS)', 'MiB', ({ mebibytes }) => mebibytes.save),
    row('most memory before down (RSS)', 'MiB', ({ mebibytes }) => mebibytes.peak),
    row('slowest status while they come up', 'ms', (one) => one.statusMeanwhileMs),
    row('status', 'ms', ({ statusMs }) => statusMs, thousand(300)),
    row('a saved change of one', 'ms', ({ changeMs }) => changeMs, thousand(1000)),
    row('all down', 'ms', ({ downMs }) => downMs),
  ];
}
