// The benchmarks of the promise "faster than ssh -L": both sides in one run, medians and ratios, never in a test.
// tsx bench/run.ts [bulk|small|parts|beside|far|many|crowds|recovery|commands|unlock …]; ROUNDS, BULK_MB and CROWD (100,400,1000) make it longer or shorter.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runScript } from '../test/helpers/script.ts';
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

const usage = `usage: npm run bench -- [SECTION …]
sections: ${Object.keys(sections).join(', ')}
ROUNDS, BULK_MB and CROWD (as in CROWD=100,400) in the environment make it longer or shorter`;

function readWords(argv: readonly string[]): readonly string[] {
  const unknown = argv.find((word) => !Object.hasOwn(sections, word));
  if (unknown !== undefined) throw new RangeError(`there is no section ${unknown}`);
  return argv.length > 0 ? argv : Object.keys(sections);
}

async function run(asked: readonly string[]): Promise<number> {
  const root = mkdtempSync(join(tmpdir(), 'tunnel-bench-'));
  process.env['TUNNEL_TEST_ROOT'] = root;
  try {
    const rows: Row[] = [];
    for (const name of asked) rows.push(...((await sections[name]?.()) ?? []));
    save(rows);
    return 0;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

await runScript({ usage, read: readWords, run });
