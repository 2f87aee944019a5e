// The benchmarks of the promise "faster than ssh -L": both sides in one run, medians and ratios, never in a test.
// tsx bench/run.ts [bulk|small|parts|beside|far|many|crowds|recovery|commands|unlock …]; ROUNDS, BULK_MB and CROWD (100,400,1000) make it longer or shorter.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commands } from './commands.ts';
import { far } from './far.ts';
import { crowds, many } from './many.ts';
import { beside, bulk, parts, small } from './near.ts';
import { recovery } from './recovery.ts';
import { save, type Row } from './rows.ts';
import { unlock } from './unlock.ts';

const sections: Readonly<Record<string, () => Promise<Row[]>>> = {
  bulk,
  small,
  parts,
  beside,
  far,
  many,
  crowds,
  recovery,
  commands,
  unlock,
};

async function main(asked: readonly string[]): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'tunnel-bench-'));
  process.env['TUNNEL_TEST_ROOT'] = root;
  try {
    const rows: Row[] = [];
    for (const name of asked.length > 0 ? asked : Object.keys(sections)) {
      const section = sections[name];
      if (section === undefined)
        throw new Error(`no section ${name}: there are ${Object.keys(sections).join(', ')}`);
      rows.push(...(await section()));
    }
    save(rows);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

await main(process.argv.slice(2));
