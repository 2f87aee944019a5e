// Rows of a package that was installed without its native code (npm install --ignore-scripts), beside the same with it.
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporaryFolder } from '../test/helpers/folder.ts';
import { startSshd } from '../test/helpers/sshd.ts';
import { compare, type Measured } from './compare.ts';
import type { Form } from './form.ts';
import { connections, down, roundTrips, up } from './measures.ts';
import { timesOf } from './near.ts';
import { goal, quantile, type Head, type Row } from './rows.ts';
import { startService, viaTunnel } from './ways.ts';

const root = resolve(import.meta.dirname, '..');
/** What npm's scripts build: the binding of ssh2's ciphers, and the one that tells the processor's kind. */
const builtByScripts = ['ssh2', 'cpu-features'];

/** A copy of the built package without it; returns its program. */
function copyWithoutNative(): string {
  const copy = temporaryFolder('plain');
  for (const name of ['bin', 'dist', 'package.json'])
    cpSync(join(root, name), join(copy, name), { recursive: true });
  const modules = join(root, 'node_modules');
  mkdirSync(join(copy, 'node_modules'));
  for (const name of readdirSync(modules).filter((each) => !builtByScripts.includes(each)))
    symlinkSync(join(modules, name), join(copy, 'node_modules', name));
  for (const name of builtByScripts) {
    const place = join(copy, 'node_modules', name);
    cpSync(join(modules, name), place, { recursive: true, dereference: true });
    for (const path of readdirSync(place, { recursive: true, encoding: 'utf8' }))
      if (path.endsWith('.node')) rmSync(join(place, path));
  }
  return join(copy, 'bin/tunnel.js');
}

export async function native(form: Form): Promise<Row[]> {
  const bin = copyWithoutNative();
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  const server = { sshd, port: sshd.port };
  await using whole = await viaTunnel(server, target);
  await using plain = await viaTunnel(server, target, { bin, name: 'without native code' });
  const ways = [plain, whole];
  const row = (
    head: Omit<Head, 'base' | 'goals'>,
    relation: '>=' | '<=',
    times: number,
    measure: (port: number) => Promise<Measured>,
  ): Promise<Row> => {
    const goals = [goal(relation, { times, of: 'tunnel' }, { cell: plain.name })];
    return compare({ ...head, base: 'tunnel', goals }, ways, form.rounds, measure);
  };
  const meaning = 'The same package, its native code taken out, as after npm install --ignore-scripts.';
  const rows: Row[] = [];
  for (const [direction, transfer] of Object.entries({ down, up })) {
    const head = {
      what: `without native code: bulk ${direction}`,
      unit: 'MB/s',
      per: 'GB' as const,
      meaning,
    };
    const measure = async (port: number): Promise<Measured> =>
      timesOf(await transfer(port, form.bulkBytes), form.bulkBytes / 1e9);
    rows.push(await row(head, '>=', 0.75, measure));
  }
  for (const { port } of ways) await connections(port, form.count);
  const opening = {
    what: 'without native code: new connections',
    unit: '/s',
    per: '1,000 connections' as const,
  };
  rows.push(
    await row({ ...opening, meaning }, '>=', 0.85, async (port) =>
      timesOf(await connections(port, form.count), form.count / 1000),
    ),
  );
  const asking = { what: 'without native code: request and answer, p99', unit: 'ms', meaning };
  rows.push(
    await row(asking, '<=', 1.5, async (port) => timesOf(quantile(await roundTrips(port, form.count), 0.99))),
  );
  return rows;
}
