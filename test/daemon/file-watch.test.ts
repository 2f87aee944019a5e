// Watched files: told of when their content has changed, whatever was done to them.
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lookAt, watchFiles } from '../../src/daemon/file-watch.ts';
import { systemClock } from '../../src/model/clock.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { manualClock } from '../helpers/manual-clock.ts';

/** A look first makes sure that the files are within reach. */
const looked = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('watched files', () => {
  const changes: Record<string, (file: string) => void> = {
    'written in place': (file) => writeFileSync(file, 'b'),
    'replaced by a rename': (file) => {
      writeFileSync(`${file}.new`, 'b');
      renameSync(`${file}.new`, file);
    },
    removed: (file) => rmSync(file),
  };
  test.each(Object.entries(changes))('are told of when %s', async (_, change) => {
    const file = join(temporaryFolder('watch'), 'tunnels.yaml');
    writeFileSync(file, 'a');
    await using watched = watchOne(file);
    change(file);
    await watched.told;
  });

  test('are told of when the folder behind a link is swapped, as ConfigMaps are', async () => {
    const folder = temporaryFolder('watch');
    for (const name of ['v1', 'v2']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'tunnels.yaml'), name);
    }
    symlinkSync('v1', join(folder, '..data'));
    symlinkSync('..data/tunnels.yaml', join(folder, 'tunnels.yaml'));
    await using watched = watchOne(join(folder, 'tunnels.yaml'));
    symlinkSync('v2', join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
    await watched.told;
  });

  test('are not told of when nothing in them changed', async () => {
    const folder = temporaryFolder('watch');
    const file = join(folder, 'tunnels.yaml');
    writeFileSync(file, 'a');
    let told = 0;
    const clock = manualClock();
    const watch = watchFiles(clock, () => told++);
    watch.follow(lookAt([file]));
    writeFileSync(file, 'a');
    clock.advance(60_000);
    await looked();
    expect(told).toBe(0);
    writeFileSync(file, 'b');
    clock.advance(5000);
    await looked();
    expect(told).toBe(1);
    watch.close();
  });

  function watchOne(file: string): AsyncDisposable & { told: Promise<void> } {
    let tell = (): void => undefined;
    const told = new Promise<void>((resolve) => (tell = resolve));
    const watch = watchFiles(systemClock, () => tell());
    watch.follow(lookAt([file]));
    return { told, [Symbol.asyncDispose]: () => Promise.resolve(watch.close()) };
  }
});
