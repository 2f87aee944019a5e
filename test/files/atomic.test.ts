// Files that are replaced as a whole, by processes that are killed in the middle of it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { replaceFile, updateFile } from '../../src/files/atomic.ts';
import { temporaryFolder } from '../helpers/folder.ts';

/** A program that counts up in a file for ever, and says each number once it stands there. */
async function counter(folder: string): Promise<string> {
  const outfile = join(folder, 'counter.mjs');
  const banner = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url); const __filename = import.meta.filename;`;
  await build({
    stdin: {
      contents: `
        import { writeSync } from 'node:fs';
        import { updateFile } from './src/files/atomic.ts';
        const filler = 'x'.repeat(200_000);
        for (;;) {
          let now = 0;
          await updateFile(process.argv[2], (text) => {
            now = (text === '' ? 0 : JSON.parse(text).count) + 1;
            return JSON.stringify({ count: now, filler });
          });
          writeSync(1, now + '\\n');
        }`,
      resolveDir: join(import.meta.dirname, '../..'),
    },
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    banner: { js: banner },
    logLevel: 'error',
  });
  return outfile;
}

test('a file that is updated by processes that are killed is whole, forgets nothing, and is free again', async () => {
  const programs = temporaryFolder('atomic-program');
  const program = await counter(programs);
  const file = join(temporaryFolder('atomic'), 'count.json');
  let told = 0;
  for (let kill = 0; kill < 15; kill += 1) {
    const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += String(chunk)));
    while (!text.includes('\n')) await once(child.stdout, 'data');
    for (let turn = 0; turn < Math.random() * 60; turn += 1) await new Promise(setImmediate);
    child.kill('SIGKILL');
    await once(child, 'close');
    told = Number(text.trim().split('\n').at(-1));
    const { count } = JSON.parse(readFileSync(file, 'utf8')) as { count: number };
    expect(count === told || count === told + 1, `${count} after ${told} was told`).toBe(true);
  }
  await updateFile(file, () => 'done');
  expect(readdirSync(join(file, '..')).filter((name) => !/^count\.json(\.\d+)?$/.test(name))).toEqual([]);
});

test('what a killed writer left beside a file goes with the next write, what is being written does not', async () => {
  const folder = temporaryFolder('atomic');
  const old = new Date(Date.now() - 120_000);
  for (const name of ['a.json.123', 'a.json.456', 'a.json.old', 'b.json.123']) {
    writeFileSync(join(folder, name), '');
    if (name !== 'a.json.456') utimesSync(join(folder, name), old, old);
  }
  await replaceFile(join(folder, 'a.json'), 'new');
  expect(readdirSync(folder).toSorted()).toEqual(['a.json', 'a.json.456', 'a.json.old', 'b.json.123']);
});
