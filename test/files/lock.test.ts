// The lock of one file between processes: what becomes of it when its owner is killed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { underLock } from '../../src/files/lock.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const source = JSON.stringify(resolve(import.meta.dirname, '../../src/files/lock.ts'));

test('names its owner from the first moment, and is gone after the work', async () => {
  const folder = temporaryFolder('lock');
  const path = join(folder, 'known_hosts');
  await underLock(path, () => {
    expect(lstatSync(`${path}.lock`).isSymbolicLink()).toBe(true);
    expect(JSON.parse(readlinkSync(`${path}.lock`))).toMatchObject({ pid: process.pid });
    return Promise.resolve();
  });
  expect(readdirSync(folder)).toEqual([]);
});

test('of a process that was killed with it in its hands is had at once, by one at a time', async () => {
  const folder = temporaryFolder('lock');
  const path = join(folder, 'known_hosts');
  const script = `
    import { underLock } from ${source};
    await underLock(${JSON.stringify(path)}, () => { console.log('held'); return new Promise((r) => setTimeout(r, 1e9)); });
  `;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: resolve(import.meta.dirname, '../..'),
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(JSON.parse(readlinkSync(`${path}.lock`))).toMatchObject({ pid: child.pid });
  let inside = 0;
  const work = async (): Promise<number> => {
    expect(++inside).toBe(1);
    await new Promise((go) => setImmediate(go));
    return --inside;
  };
  await Promise.all(Array.from({ length: 20 }, () => underLock(path, work)));
  expect(readdirSync(folder)).toEqual([]);
});

test('that somebody else holds by now is not taken from them', async () => {
  const path = join(temporaryFolder('lock'), 'known_hosts');
  await underLock(path, () => {
    rmSync(`${path}.lock`);
    symlinkSync('another', `${path}.lock`);
    return Promise.resolve();
  });
  expect(readlinkSync(`${path}.lock`)).toBe('another');
});

test('is given back when the work fails', async () => {
  const folder = temporaryFolder('lock');
  const failing = underLock(join(folder, 'known_hosts'), () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(readdirSync(folder)).toEqual([]);
});
