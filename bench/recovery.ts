// The row of a server that is killed and comes back while a client is held: first byte, refused connections.
import { connect } from 'node:net';
import { startSshd } from '../test/helpers/sshd.ts';
import { quantile } from './measures.ts';
import { plainRow, rounds, type Row } from './rows.ts';
import { startService, viaTunnel } from './ways.ts';

const outageMs = 3000;
const knockEveryMs = 50;

/** One outage of a link that has lived: a server that is killed again and again right after a login is another story. */
async function outage(): Promise<{ firstByteMs: number; refused: number }> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  await using tunnel = await viaTunnel({ sshd, port: sshd.port }, target.port);
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

export async function recovery(): Promise<Row[]> {
  const outages = [];
  for (let round = 0; round < rounds; round += 1) outages.push(await outage());
  const times = outages.map(({ firstByteMs }) => firstByteMs);
  const refused = outages.reduce((sum, each) => sum + each.refused, 0);
  return [
    plainRow(
      { what: 'server back, first byte of a held client', unit: 'ms', goal: '<= 600', base: 0 },
      { median: quantile(times, 0.5), worst: Math.max(...times) },
    ),
    plainRow({ what: 'refused meanwhile', unit: 'connections', goal: '0', base: 0 }, { tunnel: refused }),
  ];
}
