// The scripts beside the product tell how they are called, to whoever asks and to whoever got it wrong.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { finished, type Ran } from './helpers/world.ts';

const top = join(import.meta.dirname, '..');

const run = (script: string, word: string): Promise<Ran> =>
  finished(spawn(process.execPath, ['--import', 'tsx', join(top, script), word], { cwd: top }));

test.each([
  ['chaos/run.ts', 'usage: npm run chaos -- '],
  ['chaos/soak.ts', 'usage: npm run soak -- '],
  ['fuzz/run.ts', 'usage: npm run fuzz -- '],
  ['bench/run.ts', 'usage: npm run bench -- '],
  ['deploy/linux/package.ts', 'usage: npm run package -- '],
  ['docs/pictures.ts', 'usage: npm run pictures -- '],
])('%s shows its usage, and says in a sentence what it does not know', async (script, usage) => {
  const [helped, refused] = await Promise.all([run(script, '--help'), run(script, '--frob')]);
  expect(helped).toMatchObject({ code: 0, stderr: '' });
  expect(helped.stdout.startsWith(usage)).toBe(true);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toMatch(/^[^\n]*--frob[^\n]*\nusage: /);
  expect(refused.stderr).not.toContain('    at ');
});
