// The row of commands: how long `tunnel status`, `tunnel --help`, a Tab and an `up` with nothing to do take, beside node itself.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { startSshd } from '../test/helpers/sshd.ts';
import { quantile, seconds } from './measures.ts';
import { plainRow, rounds, type Row } from './rows.ts';
import { viaTunnel } from './ways.ts';

export async function commands(): Promise<Row[]> {
  const bin = join(import.meta.dirname, '../bin/tunnel.js');
  await using sshd = await startSshd();
  await using tunnel = await viaTunnel({ sshd, port: sshd.port }, 9);
  const time = (args: readonly string[]): number => {
    const begin = process.hrtime.bigint();
    execFileSync(process.execPath, args, { env: tunnel.world.env, stdio: 'ignore' });
    return seconds(begin) * 1000;
  };
  const commandLines = {
    'node -e 0': ['-e', '0'],
    'tunnel status': [bin, 'status'],
    'tunnel --help': [bin, '--help'],
    'Tab in bash': [bin, '__complete', 'bash', 'up', ''],
    'Tab in zsh': [bin, '__complete', 'zsh', 'up', ''],
    'up, nothing to do': [bin, 'up'],
  };
  const values = Object.entries(commandLines).map(([name, args]) => ({ name, args, times: [] as number[] }));
  for (let round = 0; round < rounds * 4; round += 1)
    for (const { args, times } of values) times.push(time(args));
  const medians = Object.fromEntries(values.map(({ name, times }) => [name, quantile(times, 0.5)]));
  return [
    plainRow(
      { what: 'commands', unit: 'ms', goal: 'status <= 1.4 x, --help and Tab <= 1.3 x, up <= 5 x', base: 0 },
      medians,
    ),
  ];
}
