// The row of pgbench -C, a new connection for each transaction: only where PostgreSQL is installed.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { postgresFolder, startPostgres } from '../test/helpers/postgres.ts';
import { freePort } from '../test/helpers/ports.ts';
import { startSshd } from '../test/helpers/sshd.ts';
import { compare, type Measured } from './compare.ts';
import type { Form } from './form.ts';
import { timesOf } from './near.ts';
import { goal, type Row } from './rows.ts';
import { direct, viaSsh, viaTunnel } from './ways.ts';

const run = promisify(execFile);

/** Transactions a second, each on a connection of its own, eight at a time. */
async function transactions(bin: string, port: number, seconds: number): Promise<number> {
  const server = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres'];
  const load = ['-C', '-S', '-n', '-c', '8', '-T', String(seconds), 'postgres'];
  const { stdout } = await run(`${bin}/pgbench`, [...server, ...load]);
  return Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1] ?? Number.NaN);
}

async function fill(bin: string, port: number): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await run(`${bin}/pgbench`, [
        '-i',
        '-q',
        '-h',
        '127.0.0.1',
        '-p',
        String(port),
        '-U',
        'postgres',
        'postgres',
      ]);
      return;
    } catch (error) {
      if (tries === 100) throw error; // it is starting yet
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

export async function pgbench(form: Form): Promise<Row[]> {
  const bin = postgresFolder;
  if (bin === undefined) {
    console.log('pgbench: left out, there is no PostgreSQL on this machine');
    return [];
  }
  const port = await freePort();
  const postgres = startPostgres(bin, port);
  try {
    await fill(bin, port);
    return [await throughAll(bin, { port, pid: postgres.pid ?? 0 }, form)];
  } finally {
    const gone = once(postgres, 'exit');
    postgres.kill('SIGQUIT');
    await gone;
  }
}

async function throughAll(bin: string, database: { port: number; pid: number }, form: Form): Promise<Row> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using gate = await startSshd({ config: ['LogLevel ERROR'] });
  const server = { sshd, port: sshd.port };
  const jump = { sshd: gate, port: gate.port };
  await using tunnel = await viaTunnel(server, database);
  await using ssh = await viaSsh('ssh -L', server, database);
  await using hopping = await viaTunnel(server, database, { jump, name: 'tunnel, jump host' });
  await using sshHopping = await viaSsh('ssh -L, jump host', server, database, { jump });
  const head = {
    what: 'pgbench -C',
    unit: '/s',
    meaning:
      'Transactions of PostgreSQL a second when each opens a connection of its own, eight at a time. Where PostgreSQL itself takes so long over a connection that `direct` is below the goal, no way can reach it.',
    base: 'ssh -L',
    goals: [
      goal('>=', { times: 3, of: 'ssh -L' }),
      goal('>=', { times: 3, of: 'ssh -L, jump host' }, { cell: 'tunnel, jump host' }),
    ],
  };
  const ways = [tunnel, direct(database), ssh, hopping, sshHopping];
  const seconds = form.name === 'short' ? 1 : 4;
  const measure = async (port: number): Promise<Measured> => timesOf(await transactions(bin, port, seconds));
  return await compare(head, ways, form.rounds, measure);
}
