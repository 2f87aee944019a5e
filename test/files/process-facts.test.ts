// Facts of a process and its user, as other processes find them: without a passwd entry, without HOME, with an empty one.
import { execFileSync } from 'node:child_process';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { build } from 'esbuild';
import { chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder('facts');
const program = join(folder, 'facts.cjs');
await build({
  stdin: {
    contents: `import { processFacts, userName } from './process-facts.ts';
      const facts = processFacts();
      console.log(JSON.stringify({ home: facts.home, tmpdir: facts.tmpdir, user: userName(facts) }));`,
    resolveDir: resolve(import.meta.dirname, '../../src/files'),
  },
  outfile: program,
  bundle: true,
  platform: 'node',
});
chmodSync(dirname(folder), 0o711);
chmodSync(folder, 0o755);

const { username, homedir } = userInfo();
const root = process.getuid?.() === 0;
/** Nobody of this machine. */
const stranger = 54_321;

test.each([
  ['a home and a name', { HOME: '/h', USER: 'x' }, { home: '/h', tmpdir: '/tmp', user: username }],
  ['no home', {}, { home: homedir, tmpdir: '/tmp', user: username }],
  ['an empty home', { HOME: '', TMPDIR: '' }, { home: homedir, tmpdir: '/tmp', user: username }],
  [
    'a home from where it stands',
    { HOME: 'h', TMPDIR: 't' },
    { home: '/usr/h', tmpdir: '/usr/t', user: username },
  ],
])('with %s', (_, env, facts) => {
  expect(facts).toEqual(factsOf(env));
});

test.runIf(root).each([
  ['a home and a name', { HOME: '/h', USER: 'x' }, { home: '/h', user: 'x' }],
  ['a home and no name', { HOME: '/h', USER: '', LOGNAME: '' }, { home: '/h', user: '54321' }],
  ['another name', { HOME: '', LOGNAME: 'y' }, { home: '/', user: 'y' }],
  ['nothing', {}, { home: '/', user: '54321' }],
])('without a passwd entry, with %s', (_, env, facts) => {
  expect(factsOf(env, stranger)).toEqual({ ...facts, tmpdir: '/tmp' });
});

function factsOf(env: Record<string, string>, uid?: number): unknown {
  const identity = uid === undefined ? {} : { uid, gid: uid };
  const output = execFileSync(process.execPath, [program], {
    env,
    cwd: '/usr',
    encoding: 'utf8',
    ...identity,
  });
  return JSON.parse(output) as unknown;
}
