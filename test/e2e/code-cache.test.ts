// The code that V8 made of a bundle is run again where it is certain to be of this very bundle, whole, and written by nobody else.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { version } from '../../src/model/version.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { finished, type Ran } from '../helpers/world.ts';

const root = resolve(import.meta.dirname, '../..');
const isRoot = process.getuid?.() === 0;

/** A bundle, a command that runs what is in it, and words that this command says. */
interface Bundle {
  readonly file: string;
  readonly args: readonly string[];
  readonly words: string;
  /** What the bundle says that is no longer there; as long as the words. */
  readonly planted: string;
  /** Its code in the cache folder. */
  readonly kept: string;
}

const small: Bundle = {
  file: 'cli.cjs',
  args: ['--version'],
  words: version,
  planted: '6'.repeat(version.length),
  kept: 'code-version-',
};
const large: Bundle = {
  file: 'rooms.cjs',
  args: ['completion', 'fish'],
  words: '# fish completion for tunnel',
  planted: '# what is no longer in there',
  kept: 'code-rooms-',
};

interface RunOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
}

interface Copy {
  readonly file: string;
  readonly state: string;
  /** The first line. */
  says(options?: RunOptions): Promise<string>;
  readonly caches: () => readonly string[];
  /** The only one of this bundle. */
  readonly cache: () => string;
  read(): string;
  write(text: string): void;
}

/** A copy of the program, by default with a state folder of its own. */
function copy({ file: name, args: usual, kept }: Bundle, state?: string): Copy {
  const folder = temporaryFolder('code');
  for (const each of ['bin', 'package.json'])
    cpSync(join(root, each), join(folder, each), { recursive: true });
  mkdirSync(join(folder, 'dist'));
  for (const each of ['start.cjs', 'cli.cjs', 'rooms.cjs'])
    cpSync(join(root, 'dist', each), join(folder, 'dist', each));
  const file = join(folder, 'dist', name);
  const home = state ?? join(folder, 'state');
  if (state === undefined) mkdirSync(home, { mode: 0o700 });
  const caches = (): string[] =>
    existsSync(join(home, 'cache'))
      ? readdirSync(join(home, 'cache'))
          .filter((each) => each.startsWith(kept))
          .map((each) => join(home, 'cache', each))
      : [];
  return {
    file,
    state: home,
    async says({ args = usual, env = {}, uid } = {}) {
      const child = spawn(process.execPath, [join(folder, 'bin/tunnel.js'), ...args], {
        env: { TUNNEL_HOME: home, ...env },
        ...(uid === undefined ? {} : { uid, gid: uid }),
      });
      const { stdout, stderr, code } = await finished(child);
      expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
      return stdout.split('\n')[0] ?? '';
    },
    caches,
    cache() {
      const [only = '', ...more] = caches();
      expect(more).toEqual([]);
      return only;
    },
    read: () => readFileSync(file, 'utf8'),
    write: (text) => writeFileSync(file, text),
  };
}

/** Where the code begins: behind two lines and the bundle. */
function headOf(bytes: Buffer, file: string): number {
  return bytes.indexOf('\n', bytes.indexOf('\n') + 1) + 1 + statSync(file).size;
}

/** With a cache whose code says `planted`, which nothing but that code does. */
async function withPlanted(bundle: Bundle, state?: string): Promise<Copy> {
  const program = copy(bundle, state);
  const text = program.read();
  program.write(text.replaceAll(bundle.words, bundle.planted));
  expect(await program.says()).toBe(bundle.planted);
  const kept = readFileSync(program.cache());
  const head = headOf(kept, program.file);
  const source = Buffer.from(text);
  const forged = Buffer.concat([kept.subarray(0, head - source.length), source, kept.subarray(head)]);
  program.write(text);
  writeFileSync(program.cache(), forged);
  return program;
}

describe.each([small, large])('code that V8 made of $file', (bundle) => {
  const { words, planted } = bundle;

  test('the last time is what runs, also after that', async () => {
    const program = await withPlanted(bundle);
    const before = readFileSync(program.cache());
    expect(await program.says()).toBe(planted); // or the tests below could not fail
    expect(await program.says()).toBe(planted);
    expect(readFileSync(program.cache()).equals(before)).toBe(true);
    expect(statSync(program.cache()).mode & 0o777).toBe(0o600);
  });

  test('of a bundle is not run for another in its place, of the same length and time', async () => {
    const program = copy(bundle);
    expect(await program.says()).toBe(words);
    const { atime, mtime } = statSync(program.file);
    program.write(program.read().replaceAll(words, planted));
    utimesSync(program.file, atime, mtime);
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
    const program = await withPlanted(bundle);
    spoil(program);
    expect(await program.says()).toBe(words);
  });

  test.each<[string, (bytes: Buffer, head: number) => Buffer]>([
    ['cut off at its end', (bytes) => bytes.subarray(0, -4096)],
    ['cut off behind the bundle', (bytes, head) => bytes.subarray(0, head)],
    ['cut off in the bundle', (bytes, head) => bytes.subarray(0, head / 2)],
    ['cut off in its first line', (bytes) => bytes.subarray(0, 20)],
    ['damaged in its middle', (bytes, head) => damaged(bytes, Math.floor(head + (bytes.length - head) / 4))],
    ['nothing but zeros', (bytes) => Buffer.alloc(bytes.length)],
    [
      'zeros behind the bundle',
      (bytes, head) => Buffer.concat([bytes.subarray(0, head), Buffer.alloc(8192)]),
    ],
    ['of another V8', (bytes, head) => otherVersion(bytes, head)],
  ])('and is %s is not run, and made anew', async (_, spoil) => {
    const program = copy(bundle);
    await program.says();
    const bytes = readFileSync(program.cache());
    const head = headOf(bytes, program.file);
    writeFileSync(program.cache(), spoil(Buffer.from(bytes), head));
    expect(await program.says()).toBe(words);
    const fresh = readFileSync(program.cache());
    expect(fresh.subarray(0, head).equals(bytes.subarray(0, head))).toBe(true);
    expect(fresh.length).toBeGreaterThan(head + 8192);
  });

  test('is not kept where there is no state folder, and none that can be written', async () => {
    const program = copy(bundle);
    const nowhere = join(program.state, 'none');
    expect(await program.says({ env: { TUNNEL_HOME: '', HOME: nowhere } })).toBe(words);
    expect(existsSync(nowhere)).toBe(false);
    expect(await program.says({ env: { TUNNEL_HOME: '/proc/self' } })).toBe(words);
    expect(await program.says({ env: { TUNNEL_HOME: '' } })).toBe(words);
    expect(readdirSync(program.state)).toEqual([]);
  });

  test.skipIf(!isRoot)('is run, and not kept anew, where the folder cannot be written', async () => {
    const program = await withPlanted(bundle);
    const [folder, uid] = [dirname(program.cache()), 54_321];
    const own = dirname(program.state);
    for (const above of [own, dirname(own)]) chmodSync(above, 0o711);
    for (const path of [program.state, folder, program.cache()]) chownSync(path, uid, uid);
    chmodSync(folder, 0o500);
    expect(await program.says({ uid })).toBe(planted);
    rmSync(program.cache());
    expect(await program.says({ uid })).toBe(words);
    expect(program.caches()).toEqual([]);
  });

  test('of one program is not run, nor replaced, by another that shares the state folder', async () => {
    const one = await withPlanted(bundle);
    const other = copy(bundle, one.state);
    expect(await other.says()).toBe(words);
    expect(await one.says()).toBe(planted);
    expect(await other.says()).toBe(words);
    expect(one.caches()).toHaveLength(2);
  });

  test('is not run for a Node with other options, nor where coverage is counted', async () => {
    const program = await withPlanted(bundle);
    expect(await program.says({ env: { NODE_OPTIONS: '--max-semi-space-size=2' } })).toBe(words);
    expect(program.caches()).toHaveLength(2);
    const coverage = temporaryFolder('coverage');
    expect(await program.says({ env: { NODE_V8_COVERAGE: coverage } })).toBe(words);
    expect(program.caches()).toHaveLength(2);
    expect(await program.says()).toBe(planted);
  });
});

/** What ran, of which there is code. */
const usesOf = (file: string): string | undefined => readFileSync(file, 'latin1').split('\n')[1];
const usesIn = (program: Copy): string | undefined => usesOf(program.cache());

test('code of the small bundle is that of every way through it, each of them once', async () => {
  const program = copy({ ...small, args: ['__complete', 'bash', 'u'], kept: 'code-complete-' });
  const names = { args: ['__complete', 'zsh', 'up', ''] };
  expect(await program.says()).toBe('up');
  const first = statSync(program.cache());
  await program.says(names);
  expect(usesIn(program)).toBe('bash-commands other-names');
  const second = statSync(program.cache());
  expect(second.size).toBeGreaterThan(first.size);
  await program.says(names);
  await program.says();
  expect(statSync(program.cache()).mtimeMs).toBe(second.mtimeMs);
});

describe('code of the large bundle', () => {
  test('is that of every command that ran, each of them once', async () => {
    const program = await withPlanted(large);
    expect(usesIn(program)).toBe('completion');
    const first = statSync(program.cache());
    await program.says({ args: ['schema'] });
    expect(usesIn(program)).toBe('completion schema');
    const second = statSync(program.cache());
    expect(second.size).toBeGreaterThan(first.size);
    expect(await program.says()).toBe(large.planted);
    await program.says({ args: ['schema'] });
    expect(statSync(program.cache()).mtimeMs).toBe(second.mtimeMs);
  });

  test.each([
    ['the help of a command', ['completion', '--help'], 0],
    ['a command that failed', ['completion', 'nonsense'], 2],
    ['a word that is no command', ['complete'], 2],
    ['options in front of it', ['--quiet', 'completion', 'fish'], 0],
  ])('is not kept of %s', async (_, args, code) => {
    const program = copy(large);
    const bin = join(dirname(program.file), '../bin/tunnel.js');
    const child = spawn(process.execPath, [bin, ...args], { env: { TUNNEL_HOME: program.state } });
    expect((await finished(child)).code).toBe(code);
    expect(program.caches()).toEqual([]);
  });
});

describe('code of a supervisor', () => {
  const bundle: Bundle = { ...large, words: ') serves ', planted: ') SERVED ' };

  /** Whole: one that is being written has another name, with a dot. */
  const keptIn = (program: Copy): string | undefined =>
    program.caches().find((file) => !basename(file).includes('.') && usesOf(file) === 'supervisor');

  /** Up and down again, once the code of this supervisor is there. What the supervisor's log says of its start. */
  async function served(program: Copy): Promise<string> {
    const config = join(program.state, 'tunnels.yaml');
    writeFileSync(config, 'tunnels: { db: { host: a@127.0.0.1:9, local: auto, remote: 127.0.0.1:9} }\n', {
      mode: 0o600,
    });
    const bin = join(dirname(program.file), '../bin/tunnel.js');
    const run = (...words: string[]): Promise<Ran> =>
      finished(
        spawn(process.execPath, [bin, '-c', config, ...words], { env: { TUNNEL_HOME: program.state } }),
      );
    expect((await run('up', 'db', '--timeout', '1s')).stderr).toContain('the supervisor goes on trying');
    while (keptIn(program) === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    const { stdout } = await run('logs', '--json');
    expect((await run('down')).code).toBe(0);
    const starts = stdout.split('\n').filter((line) => line.includes('"event":"start"'));
    return starts.at(-1) ?? '';
  }

  test('is kept once it is at work, and the next one runs it', async () => {
    const program = copy(bundle);
    symlinkSync(join(root, 'node_modules'), join(dirname(program.file), '../node_modules'));
    const text = program.read();
    program.write(text.replaceAll(bundle.words, bundle.planted));
    expect(await served(program)).toContain(bundle.planted);
    const cache = keptIn(program) ?? '';
    const kept = readFileSync(cache);
    const head = headOf(kept, program.file);
    const source = Buffer.from(text);
    program.write(text);
    writeFileSync(
      cache,
      Buffer.concat([kept.subarray(0, head - source.length), source, kept.subarray(head)]),
    );
    expect(await served(program)).toContain(bundle.planted);
    writeFileSync(cache, damaged(kept, Math.floor(head + (kept.length - head) / 4)));
    expect(await served(program)).toContain(bundle.words);
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
