// The row of commands: how long `tunnel status`, `tunnel --help`, a Tab and an `up` with nothing to do take, beside node itself.
import { execFileSync } from 'node:child_process';
import { built } from '../test/helpers/world.ts';
import { startSshd } from '../test/helpers/sshd.ts';
import type { Form } from './form.ts';
import { seconds } from './measures.ts';
import { goal, rowOf, type Goal, type Row } from './rows.ts';
import { startService, viaTunnel } from './ways.ts';

const node = 'node -e 0';

export async function commands(form: Form): Promise<Row[]> {
  await using sshd = await startSshd();
  await using target = await startService();
  await using tunnel = await viaTunnel({ sshd, port: sshd.port }, target);
  const time = (args: readonly string[]): number => {
    const begin = process.hrtime.bigint();
    execFileSync(process.execPath, args, { env: tunnel.world.env, stdio: 'ignore' });
    return seconds(begin) * 1000;
  };
  const lines: Readonly<Record<string, { readonly args: readonly string[]; readonly most?: number }>> = {
    [node]: { args: ['-e', '0'] },
    'tunnel status': { args: [built, 'status'], most: 1.4 },
    'tunnel --help': { args: [built, '--help'], most: 1.3 },
    'Tab in bash': { args: [built, '__complete', 'bash', 'up', ''], most: 1.3 },
    'Tab in zsh': { args: [built, '__complete', 'zsh', 'up', ''], most: 1.3 },
    'tunnel up, nothing to do': { args: [built, 'up'], most: 5 },
  };
  const times = Object.entries(lines).map(([name, line]) => ({ ...line, name, values: [] as number[] }));
  for (let round = 0; round < form.rounds * 4; round += 1)
    for (const { args, values } of times) values.push(time(args));
  const goals = times.flatMap(({ name, most }): Goal[] =>
    most === undefined ? [] : [goal('<=', { times: most, of: node }, { cell: name })],
  );
  const head = {
    what: 'commands',
    unit: 'ms',
    meaning: 'From the start of the program to its end, beside a Node that does nothing.',
    base: node,
    goals,
  };
  return [rowOf(head, Object.fromEntries(times.map(({ name, values }) => [name, values])))];
}
