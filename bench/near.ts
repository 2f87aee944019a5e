// Rows of a link without distance: bulk, new connections, requests, answers in parts, and requests beside bulk.
import { startSshd } from '../test/helpers/sshd.ts';
import { compare, type Measured } from './compare.ts';
import type { Form } from './form.ts';
import { answersInParts, connections, down, roundTrips, together, up } from './measures.ts';
import { goal, quantile, rowOf, type Goal, type Row } from './rows.ts';
import { direct, startFlood, startService, viaCommand, viaSsh, viaTunnel, type Way } from './ways.ts';

export const gcmName = 'ssh -c aes128-gcm -L';
const aes = ['-c', 'aes128-gcm@openssh.com'];
const bulkGoals: readonly Goal[] = [
  goal('>=', { times: 1.2, of: 'ssh -L' }),
  goal('>=', { times: 1, of: gcmName }),
];
const leanGoal = goal('<=', { times: 1, of: gcmName }, { figure: 'processor' });

async function* nearWays({ others }: Form): AsyncGenerator<readonly Way[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  await using tunnel = await viaTunnel(server, target);
  await using ssh = await viaSsh('ssh -L', server, target);
  await using gcm = await viaSsh(gcmName, server, target, { options: aes });
  const more: Way[] = [];
  try {
    for (const other of others) more.push(await viaCommand(other, server, target));
    yield [tunnel, ssh, gcm, ...more];
  } finally {
    for (const way of more) await way[Symbol.asyncDispose]();
  }
}

export const timesOf = (value: number, work = 1): Measured => ({ value, work });

/** What goes through each way in each direction before it is measured: so long V8 compiles what it runs. */
const warmBytes = 1e9;

/** The first transfers of fresh processes, which have rows without a goal. */
async function warmUp(ways: readonly Way[], { bulkBytes }: Form): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [direction, transfer] of Object.entries({ down, up })) {
    const measure = async (port: number): Promise<Measured> =>
      timesOf(await transfer(port, bulkBytes), bulkBytes / 1e9);
    const head = {
      what: `bulk ${direction}, the first transfer`,
      unit: 'MB/s',
      per: 'GB' as const,
      base: 'ssh -L',
      meaning: `V8 compiles what it runs during the first GB ${direction}: the other rows begin after that.`,
      goals: [],
    };
    rows.push(await compare(head, ways, 1, measure));
    for (let sent = bulkBytes; sent < warmBytes; sent += bulkBytes)
      for (const { port } of ways) await measure(port);
  }
  return rows;
}

/** Both directions of `flows` transfers at once, which share the bytes. */
async function bothWays(ways: readonly Way[], form: Form, flows: number, words: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [direction, transfer] of Object.entries({ down, up })) {
    const what = `${flows === 1 ? 'bulk' : `${flows} flows at once`} ${direction}${words}`;
    const through = flows === 1 ? 'one connection' : `${flows} connections at once`;
    const head = {
      what,
      unit: 'MB/s',
      per: 'GB' as const,
      base: 'ssh -L',
      meaning: `${form.bulkBytes / 2 ** 20} MiB through ${through} on loopback${words}. The ciphers: ours and aes128-gcm are the same one, ssh -L takes its default.`,
      goals: flows === 1 && words === '' ? [...bulkGoals, leanGoal] : bulkGoals,
    };
    const measure = async (port: number): Promise<Measured> =>
      timesOf(await together(transfer, port, form.bulkBytes, flows), form.bulkBytes / 1e9);
    rows.push(await compare(head, ways, form.rounds, measure));
  }
  return rows;
}

export async function bulk(form: Form): Promise<Row[]> {
  for await (const ways of nearWays(form))
    return [...(await warmUp(ways, form)), ...(await bothWays(ways, form, 1, ''))];
  return [];
}

export async function flows(form: Form): Promise<Row[]> {
  for await (const ways of nearWays(form)) {
    await warmUp(ways, form);
    return await bothWays(ways, form, 8, '');
  }
  return [];
}

/** A process that has served many short connections has another heap than a fresh one. */
export async function worn(form: Form): Promise<Row[]> {
  const count = form.loadConnections;
  for await (const ways of nearWays(form)) {
    await warmUp(ways, form);
    for (const { port } of ways) await connections(port, count);
    const words = `, after ${count.toLocaleString('en')} short connections`;
    return [...(await bothWays(ways, form, 1, words)), ...(await bothWays(ways, form, 8, words))];
  }
  return [];
}

/** As `warmBytes`: so many connections, and so many requests, before any are measured. */
const warmCount = 4000;

export async function small(form: Form): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const ways of nearWays(form)) {
    for (const { port } of ways) {
      await connections(port, warmCount);
      await roundTrips(port, warmCount);
    }
    const opening = {
      what: 'new connections',
      unit: '/s',
      meaning:
        'Connect, send a byte, get it back, close: eight at a time, as many as get through in a second.',
      per: '1,000 connections' as const,
      base: 'ssh -L',
      goals: [goal('>=', { times: 0.85, of: 'ssh -L' })],
    };
    rows.push(
      await compare(opening, ways, form.rounds, async (port) =>
        timesOf(await connections(port, form.count), form.count / 1000),
      ),
    );
    const asking = {
      what: 'request and answer, median',
      unit: 'ms',
      meaning: 'The time from a request of 64 bytes to its answer, one after the other on one connection.',
      per: '1,000 requests' as const,
      base: 'ssh -L',
      goals: [goal('<=', { times: 1.05, of: 'ssh -L' })],
    };
    rows.push(
      await compare(asking, ways, form.rounds, async (port) =>
        timesOf(quantile(await roundTrips(port, form.count), 0.5), form.count / 1000),
      ),
    );
  }
  return rows;
}

/** Requests, every 5 ms, on the same link as a transfer without end. */
async function busyTimes(port: number, direction: 'up' | 'down', count: number): Promise<readonly number[]> {
  await using _flood = await startFlood(port, direction);
  await new Promise((resolve) => setTimeout(resolve, 300));
  return await roundTrips(port, count, 5);
}

export async function beside(form: Form): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const ways of nearWays(form)) {
    for (const direction of ['down', 'up'] as const) {
      const rounds: Record<string, (readonly number[])[]> = {};
      for (let round = 0; round < form.rounds; round += 1)
        for (const { name, port } of ways.slice(0, 2))
          (rounds[name] ??= []).push(await busyTimes(port, direction, 100));
      for (const [figure, part] of Object.entries({ median: 0.5, p99: 0.99 })) {
        const head = {
          what: `a keystroke beside bulk ${direction}, ${figure}`,
          unit: 'ms',
          meaning: `The time of a small request every 5 ms while a transfer ${direction} runs without end on the same link.`,
          base: 'ssh -L',
          goals: [goal('<=', { times: 1.1, of: 'ssh -L' })],
        };
        const values = Object.entries(rounds).map(([name, each]) => [
          name,
          each.map((times) => quantile(times, part)),
        ]);
        rows.push(rowOf(head, Object.fromEntries(values) as Record<string, number[]>));
      }
    }
  }
  return rows;
}

/** What PostgreSQL, FTP and redis do all day. */
export async function parts(form: Form): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using gate = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  const jump = { sshd: gate, port: gate.port };
  await using tunnel = await viaTunnel(server, target);
  await using ssh = await viaSsh('ssh -L', server, target);
  await using hopping = await viaTunnel(server, target, { jump, name: 'tunnel, jump host' });
  await using sshHopping = await viaSsh('ssh -L, jump host', server, target, { jump });
  const head = {
    what: 'an answer in two small parts',
    unit: 'ms',
    meaning:
      'The time from a question to the second part of its answer, which the target sends 2 ms after the first: the start of a PostgreSQL session, FTP, redis.',
    base: 'direct',
    goals: [
      goal('<=', { of: 'direct', plus: 2 }),
      goal('<=', { of: 'direct', plus: 2 }, { cell: 'tunnel, jump host' }),
    ],
  };
  const ways = [tunnel, direct(target), ssh, hopping, sshHopping];
  return [
    await compare(head, ways, form.rounds, async (port) =>
      timesOf(quantile(await answersInParts(port, Math.ceil(form.count / 20)), 0.5)),
    ),
  ];
}
