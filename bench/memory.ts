// Rows of one supervisor's memory: idle, after a load, and whether connection after connection leaves anything behind.
import { startSshd } from '../test/helpers/sshd.ts';
import type { Form } from './form.ts';
import { connections, together, down, up } from './measures.ts';
import { descriptors, memory as held } from './processes.ts';
import { goal, rowOf, type Row } from './rows.ts';
import { startService, viaSsh, viaTunnel } from './ways.ts';

/** Collectors of garbage and timers of closed connections are done by then. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3000));

export async function memory(form: Form): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  await using tunnel = await viaTunnel(server, target);
  await using ssh = await viaSsh('ssh -L', server, target);
  const ways = [tunnel, ssh];
  const look = async (): Promise<Record<string, number[]>> => {
    await settle();
    return Object.fromEntries(ways.map(({ name, pids }) => [name, [held(pids())]]));
  };
  const idle = await look();
  for (const { port } of ways) {
    await connections(port, form.loadConnections);
    await down(port, Math.floor(form.loadBytes / 2));
    await together(up, port, Math.floor(form.loadBytes / 2), 8);
  }
  const loaded = await look();
  const load = `${Number((form.loadBytes / 1e9).toFixed(2))} GB and ${form.loadConnections.toLocaleString('en')} connections`;
  const head = { unit: 'MiB', base: 'ssh -L' };
  return [
    rowOf(
      {
        ...head,
        what: 'memory of the supervisor, one idle tunnel',
        meaning:
          'PSS of a supervisor that has just brought up one tunnel: what it shares with other processes of Node, as those of the benchmark, counts in part.',
        goals: [goal('<=', { plus: 40 })],
      },
      idle,
    ),
    rowOf(
      {
        ...head,
        what: `memory of the supervisor after ${load}`,
        meaning:
          'The same supervisor, three seconds after its load: half of it down on one flow, half up on eight.',
        goals: [goal('<=', { plus: 65 })],
      },
      loaded,
    ),
  ];
}

/** What a heap is larger or smaller by from one look to the next: 200 bytes a connection, when there are 10,000. */
const jitterMebibytes = 2;

/** The same load twice: what the first leaves behind is the program's own warmth, what the second adds is a leak. */
export async function growth(form: Form): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  await using tunnel = await viaTunnel({ sshd, port: sshd.port }, target);
  const count = form.loadConnections;
  const seen: { readonly mebibytes: number; readonly descriptors: number }[] = [];
  for (let time = 0; time < 3; time += 1) {
    if (time > 0) await connections(tunnel.port, count, 1);
    await settle();
    seen.push({ mebibytes: held([tunnel.pid]), descriptors: descriptors(tunnel.pid) });
  }
  const often = count.toLocaleString('en');
  const names = ['before', `after ${often}`, `after ${(2 * count).toLocaleString('en')}`] as const;
  const row = (what: string, unit: string, of: (one: (typeof seen)[number]) => number, plus: number): Row =>
    rowOf(
      {
        what: `${what}, connection after connection`,
        unit,
        meaning: `The supervisor before, after ${often} connections one after the other, and after as many again: the second time may add nothing.`,
        base: names[1],
        goals: [goal('<=', { of: names[1], plus }, { cell: names[2] })],
      },
      Object.fromEntries(seen.map((one, index) => [names[index] ?? '', [of(one)]])),
    );
  return [
    row('memory', 'MiB', ({ mebibytes }) => mebibytes, jitterMebibytes),
    row('descriptors', '', (one) => one.descriptors, 0),
  ];
}
