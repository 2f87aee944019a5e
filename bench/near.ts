// Rows of a link without distance: bulk, new connections, requests, and requests beside bulk.
import { startSshd } from '../test/helpers/sshd.ts';
import { answersInParts, connections, down, quantile, roundTrips, up } from './measures.ts';
import { compare, plainRow, rounds, type Row } from './rows.ts';
import { jumpOptions, startFlood, startService, viaSsh, viaTunnel, type Way } from './ways.ts';

const bulkBytes = Number(process.env['BULK_MB'] ?? 256) * 1024 * 1024;
const aes = ['-c', 'aes128-gcm@openssh.com'];
const bulkGoal = '>= 1.2 x ssh, >= 1.0 x aes128-gcm';

async function* nearWays(): AsyncGenerator<Way[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  await using tunnel = await viaTunnel(server, target.port);
  await using ssh = await viaSsh('ssh -L', server, target.port);
  await using gcm = await viaSsh('ssh -c aes128-gcm -L', server, target.port, aes);
  yield [tunnel, ssh, gcm];
}

export async function bulk(): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const ways of nearWays()) {
    const row = { unit: 'MiB/s', goal: bulkGoal };
    rows.push(await compare({ ...row, what: 'bulk down' }, ways, (port) => down(port, bulkBytes)));
    rows.push(await compare({ ...row, what: 'bulk up' }, ways, (port) => up(port, bulkBytes)));
  }
  return rows;
}

export async function small(): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const ways of nearWays()) {
    for (const { port } of ways) await connections(port, 3000); // a supervisor that has just started compiles yet what it runs
    const opening = { what: 'new connections', unit: '/s', goal: '>= 1.0 x' };
    rows.push(await compare(opening, ways, (port) => connections(port, 1000)));
    const asking = { what: 'request and answer', unit: 'ms', goal: '<= 1.0 x' };
    rows.push(await compare(asking, ways, async (port) => quantile(await roundTrips(port, 1000), 0.5)));
  }
  return rows;
}

/** Latency of a keystroke, every 5 ms, on the same link as a transfer without end. */
export async function beside(): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const ways of nearWays()) {
    for (const direction of ['down', 'up'] as const) {
      const medians: Record<string, number> = {};
      for (const { name, port } of ways.slice(0, 2)) {
        const idle: number[] = [];
        const busy: number[] = [];
        for (let round = 0; round < rounds; round += 1) {
          idle.push(...(await roundTrips(port, 100, 5)));
          await using _flood = await startFlood(port, direction);
          await new Promise((resolve) => setTimeout(resolve, 300));
          busy.push(...(await roundTrips(port, 100, 5)));
        }
        medians[`${name}, idle`] = quantile(idle, 0.99);
        medians[name] = quantile(busy, 0.99);
        medians[`${name}, median`] = quantile(busy, 0.5);
      }
      const what = `p99 of a keystroke beside bulk ${direction}`;
      rows.push(plainRow({ what, unit: 'ms', goal: '<= 2 x idle + a round trip', base: 0 }, medians));
    }
  }
  return rows;
}

/** An answer in two small parts, 2 ms apart: what PostgreSQL, FTP and redis do all day. Directly, too. */
export async function parts(): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using gate = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  const jump = { sshd: gate, port: gate.port };
  await using tunnel = await viaTunnel(server, target.port);
  await using ssh = await viaSsh('ssh -L', server, target.port);
  await using hopping = await viaTunnel(server, target.port, jump);
  await using sshHopping = await viaSsh('ssh -J -L', server, target.port, jumpOptions(jump));
  const direct: Way = {
    name: 'direct',
    port: target.port,
    pid: process.pid,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const ways = [tunnel, direct, ssh, { ...hopping, name: 'tunnel, jump host' }, sshHopping];
  const row = { what: 'an answer in two small parts', unit: 'ms', goal: '<= direct + 2 ms' };
  return [await compare(row, ways, async (port) => quantile(await answersInParts(port, 100), 0.5))];
}
