// ssh2's native part: a package whose install scripts did not run works all the same, and the first `up` says what would build it.
import { cpSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { missingNativePart } from '../../src/client/launch.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { copyPackage } from '../helpers/package-copy.ts';
import { createWorld } from '../helpers/world.ts';

const top = resolve(import.meta.dirname, '../..');

const config =
  'tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 5432 }\n  cache: { host: "me@127.0.0.1:1", local: auto, remote: 6379 }\n';

test('a package without native code says so once a supervisor, with the command that builds it', async () => {
  const folder = temporaryFolder('no scripts');
  await using world = createWorld({ bin: copyPackage(folder, { native: false }) });
  world.config(config);
  const first = await world.run(['up', 'db', '--timeout', '0s']);
  expect(first.stderr).toContain('ssh2 runs without its native part');
  expect(first.stderr).toContain(`hint: (cd '${folder}' && npm rebuild ssh2 `);
  expect((await world.status()).supervisor.nativeCrypto).toBe(false);

  const second = await world.run(['up', 'cache', '--timeout', '0s']);
  expect(second.stderr).not.toContain('native part');
  expect((await world.run(['status'])).stderr).not.toContain('native part');
});

test('the command names the headers of this Node where they are', () => {
  const prefix = temporaryFolder('prefix');
  const [, without] = missingNativePart('/opt/tunnel', prefix);
  expect(without).toContain('(cd /opt/tunnel && npm rebuild ssh2 --ignore-scripts=false)');
  mkdirSync(join(prefix, 'include/node'), { recursive: true });
  cpSync(join(top, 'package.json'), join(prefix, 'include/node/node.h'));
  expect(missingNativePart('/opt/tunnel', prefix)[1]).toContain(`--nodedir=${prefix})`);
});
