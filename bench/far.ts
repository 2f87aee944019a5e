// Rows of a link of 100 ms: downloads, directly and through a jump host, through a delay line in user space.
import { startSshd } from '../test/helpers/sshd.ts';
import { down } from './measures.ts';
import { compare, type Row } from './rows.ts';
import { jumpOptions, startService, viaSsh, viaTunnel } from './ways.ts';

const farBytes = (Number(process.env['BULK_MB'] ?? 256) * 1024 * 1024) / 2;
const oneWayMs = 50;

export async function far(): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using gate = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  await using line = await startService({ port: sshd.port, delayMs: oneWayMs });
  await using gateLine = await startService({ port: gate.port, delayMs: oneWayMs });
  const measure = (port: number): Promise<number> => down(port, farBytes);
  const row = { unit: 'MiB/s', goal: '>= 8 x' };
  const rows: Row[] = [];
  {
    const server = { sshd, port: line.port };
    await using tunnel = await viaTunnel(server, target.port);
    await using ssh = await viaSsh('ssh -L', server, target.port);
    rows.push(await compare({ ...row, what: 'download at 100 ms' }, [tunnel, ssh], measure));
  }
  {
    const server = { sshd, port: sshd.port };
    const jump = { sshd: gate, port: gateLine.port };
    await using tunnel = await viaTunnel(server, target.port, jump);
    await using ssh = await viaSsh('ssh -J -L', server, target.port, jumpOptions(jump));
    rows.push(await compare({ ...row, what: 'download at 100 ms, jump host' }, [tunnel, ssh], measure));
  }
  return rows;
}
