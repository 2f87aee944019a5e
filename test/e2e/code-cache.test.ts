// The code that V8 made of the small bundle is run again where it is certain to be of this very bundle, whole, and written by nobody else.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { version } from '../../src/model/version.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { finished } from '../helpers/world.ts';

const root = resolve(import.meta.dirname, '../..');
/** What a bundle says that is no longer there. Its length is that of the version. */
const planted = '6'.repeat(version.length);

interface Copy {
  readonly bundle: string;
  readonly state: string;
  says(env?: Record<string, string>): Promise<string>;
  /** The only one. */
  readonly cache: () => string;
  write(text: string): void;
}

/** A copy of the program with a state folder of its own. */
function copy(): Copy {
  const folder = temporaryFolder('code');
  for (const name of ['bin', 'package.json'])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  mkdirSync(join(folder, 'dist'));
  for (const name of ['start.cjs', 'cli.cjs']) cpSync(join(root, 'dist', name), join(folder, 'dist', name));
  const [bundle, state] = [join(folder, 'dist/cli.cjs'), join(folder, 'state')];
  mkdirSync(state, { mode: 0o700 });
  return {
    bundle,
    state,
    async says(env = { TUNNEL_HOME: state }) {
      const child = spawn(process.execPath, [join(folder, 'bin/tunnel.js'), '--version'], { env });
      const { stdout, stderr, code } = await finished(child);
      expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
      return stdout.trim();
    },
    cache() {
      const [only = '', ...more] = readdirSync(join(state, 'cache'));
      expect(more).toEqual([]);
      return join(state, 'cache', only);
    },
    write: (text) => writeFileSync(bundle, text),
  };
}

/** With a cache whose code says `planted`, which nothing but that code does. */
async function withPlanted(): Promise<Copy> {
  const program = copy();
  const text = readFileSync(program.bundle, 'utf8');
  program.write(text.replaceAll(`"${version}"`, `"${planted}"`));
  expect(await program.says()).toBe(planted);
  const kept = readFileSync(program.cache(), 'latin1');
  program.write(text);
  const head = kept.indexOf('\n') + 1;
  const source = Buffer.from(text);
  const forged = [kept.slice(0, head), source.toString('latin1'), kept.slice(head + source.length)].join('');
  writeFileSync(program.cache(), forged, 'latin1');
  return program;
}

describe('code that V8 made', () => {
  test('the last time is what runs, also after that', async () => {
    const program = await withPlanted();
    const before = readFileSync(program.cache());
    expect(await program.says()).toBe(planted); // or the tests below could not fail
    expect(await program.says()).toBe(planted);
    expect(readFileSync(program.cache()).equals(before)).toBe(true);
    expect(statSync(program.cache()).mode & 0o777).toBe(0o600);
  });

  test('of a bundle is not run for another in its place, of the same length and time', async () => {
    const program = copy();
    expect(await program.says()).toBe(version);
    const { atime, mtime } = statSync(program.bundle);
    program.write(readFileSync(program.bundle, 'utf8').replaceAll(`"${version}"`, `"${planted}"`));
    utimesSync(program.bundle, atime, mtime);
    expect(await program.says()).toBe(planted);
    expect(await program.says()).toBe(planted);
  });

  test.each<[string, (program: Copy) => void]>([
    ['that its group may write', ({ cache }) => chmodSync(cache(), 0o620)],
    ['in a folder that others may write', ({ cache }) => chmodSync(dirname(cache()), 0o702)],
    ['in a state folder that its group may write', ({ state }) => chmodSync(state, 0o730)],
    [
      'behind a link',
      ({ cache, state }) => {
        const file = cache();
        cpSync(file, join(state, 'planted'));
        linkInPlace(join(state, 'planted'), file);
      },
    ],
  ])('%s is not run', async (_, spoil) => {
    const program = await withPlanted();
    spoil(program);
    expect(await program.says()).toBe(version);
  });

  test.each<[string, (bytes: Buffer, head: number) => Buffer]>([
    ['cut off at its end', (bytes) => bytes.subarray(0, -4096)],
    ['cut off behind the bundle', (bytes, head) => bytes.subarray(0, head)],
    ['cut off in the bundle', (bytes, head) => bytes.subarray(0, head / 2)],
    ['damaged in its middle', (bytes, head) => damaged(bytes, Math.floor(head + (bytes.length - head) / 4))],
    ['nothing but zeros', (bytes) => Buffer.alloc(bytes.length)],
    [
      'zeros behind the bundle',
      (bytes, head) => Buffer.concat([bytes.subarray(0, head), Buffer.alloc(8192)]),
    ],
    ['of another V8', (bytes, head) => otherVersion(bytes, head)],
  ])('and is %s is not run, and made anew', async (_, spoil) => {
    const program = copy();
    await program.says();
    const bytes = readFileSync(program.cache());
    const head = bytes.indexOf('\n') + 1 + statSync(program.bundle).size;
    writeFileSync(program.cache(), spoil(Buffer.from(bytes), head));
    expect(await program.says()).toBe(version);
    const fresh = readFileSync(program.cache());
    expect(fresh.subarray(0, head).equals(bytes.subarray(0, head))).toBe(true);
    expect(fresh.length).toBeGreaterThan(head + 8192);
  });

  test('is not kept where there is no state folder, and none that can be written', async () => {
    const program = copy();
    const nowhere = join(program.state, 'none');
    expect(await program.says({ HOME: nowhere })).toBe(version);
    expect(existsSync(nowhere)).toBe(false);
    expect(await program.says({ TUNNEL_HOME: '/proc/self' })).toBe(version);
    expect(await program.says({})).toBe(version);
    expect(readdirSync(program.state)).toEqual([]);
  });
});

function linkInPlace(target: string, file: string): void {
  const beside = `${file}.link`;
  symlinkSync(target, beside);
  renameSync(beside, file);
}

function damaged(bytes: Buffer, at: number): Buffer {
  bytes.fill(0x5a, at, at + 512);
  return bytes;
}

/** Both copies begin with V8's own mark, and behind it the hash of its version. */
function otherVersion(bytes: Buffer, head: number): Buffer {
  const half = (bytes.length - head) / 2;
  for (const start of [head, head + half]) bytes[start + 4] = (bytes[start + 4] ?? 0) ^ 0x55;
  return bytes;
}
