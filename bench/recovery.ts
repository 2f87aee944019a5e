// The row of a server that is killed and comes back while a client is held: first byte, refused connections.
import { connect } from 'node:net';
import { startSshd } from '../test/helpers/sshd.ts';
import type { Form } from './form.ts';
import { goal, rowOf, type Row } from './rows.ts';
import { startService, viaTunnel } from './ways.ts';

const outageMs = 3000;
const knockEveryMs = 50;

/** One outage of a link that has lived: a server that is killed again and again right after a login is another story. */
async function outage(): Promise<{ firstByteMs: number; refused: number }> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  await using tunnel = await viaTunnel({ sshd, port: sshd.port }, target);
  let refused = 0;
  await sshd.stop();
  const held = connect({ port: tunnel.port, host: '127.0.0.1', noDelay: true });
  const answered = new Promise<bigint>((resolve, reject) => {
    held.once('data', () => resolve(process.hrtime.bigint()));
    held.once('error', reject);
  });
  held.write('x');
  const knocking = setInterval(() => {
    const knock = connect(tunnel.port, '127.0.0.1', () => knock.destroy());
    knock.once('error', () => (refused += 1));
  }, knockEveryMs);
  await new Promise((resolve) => setTimeout(resolve, outageMs));
  clearInterval(knocking);
  await sshd.start(); // resolves when the port answers
  const back = process.hrtime.bigint();
  const first = await answered;
  held.destroy();
  return { firstByteMs: Math.max(0, Number(first - back) / 1e6), refused };
}

export async function recovery(form: Form): Promise<Row[]> {
  const outages = [];
  for (let round = 0; round < form.rounds; round += 1) outages.push(await outage());
  return [
    rowOf(
      {
        what: 'server killed and back: first byte of a held client',
        unit: 'ms',
        meaning: `The server is gone for ${outageMs / 1000} s while a client waits; the time from the moment its port answers again to the client's first byte.`,
        goals: [goal('<=', { plus: 600 })],
      },
      { tunnel: outages.map(({ firstByteMs }) => firstByteMs) },
    ),
    rowOf(
      {
        what: 'connections refused meanwhile',
        unit: '',
        meaning: `A connection every ${knockEveryMs} ms while the server is away.`,
        goals: [goal('<=', { plus: 0 }, { figure: 'highest' })],
      },
      { tunnel: outages.map(({ refused }) => refused) },
    ),
  ];
}
