// Ad-hoc tunnels beside a file: read with it, behind it, and never in its way.
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { changeAdhoc, forgetAdhoc, readAdhoc, type AdhocTunnels } from '../../src/config/adhoc.ts';
import { consentDigest } from '../../src/config/consent.ts';
import { checkConfig, checkAll, loadConfig, readDeclared } from '../../src/config/load.ts';
import { findConfig, placesOfConfig } from '../../src/config/locate.ts';
import { placesOf } from '../../src/paths.ts';
import { createHome } from './home.ts';

const tunnel = { host: 'me@h', local: 'auto', remote: 'db:1', tags: ['adhoc'], autostart: false };

async function scene(tunnels: AdhocTunnels, text: string) {
  const home = createHome();
  const file = home.write('tunnels.yaml', text);
  const { adhoc } = placesOfConfig(file, home.account);
  mkdirSync(dirname(adhoc), { recursive: true });
  await changeAdhoc(adhoc, home.account, () => tunnels);
  return { file, adhoc, facts: home.account };
}

test('are read behind those of the file, which go before, and need no file', async () => {
  const { file, adhoc, facts } = await scene(
    { db: tunnel, mine: tunnel },
    'tunnels: { mine: { host: h, local: 5, remote: 6 } }\n',
  );
  const names = async () =>
    (await loadConfig(file, facts)).tunnels.map(({ name, tags }) => `${name} ${tags.join()}`);
  expect(await names()).toEqual(['mine ', 'db adhoc']);
  expect((await loadConfig(file, facts)).warnings).toEqual([]);
  expect((await checkConfig(file, facts)).config?.tunnels).toHaveLength(1);
  expect((await checkAll(file, facts)).config?.tunnels).toHaveLength(2);
  rmSync(file);
  expect(await names()).toEqual(['db adhoc', 'mine adhoc']);
  expect(findConfig(placesOf(facts), facts, file).path).toBe(file);
  expect(await forgetAdhoc(adhoc, facts, ['db', 'mine', 'other'])).toEqual(['db', 'mine']);
  expect(readAdhoc(adhoc, facts)).toEqual({});
  expect(() => findConfig(placesOf(facts), facts, file)).toThrow(/no config/);
});

test('with which the file does not go are left out with a warning, and the others stay', async () => {
  const open = { host: 'me@h', type: 'dynamic', local: '0.0.0.0:1080', tags: ['adhoc'], autostart: false };
  const { file, facts } = await scene(
    { db: tunnel, open },
    'tunnels: { a: { host: h, local: 5, remote: 6 } }\n',
  );
  const { tunnels, warnings } = await loadConfig(file, facts);
  expect(tunnels.map(({ name }) => name)).toEqual(['a', 'db']);
  expect(warnings).toEqual([
    expect.stringMatching(/^an ad-hoc tunnel is left out: .*tunnels\.open.*socks_auth/),
  ]);
  expect((await checkAll(file, facts)).config?.tunnels).toHaveLength(2);
});

test('are nothing that a project file would have to be allowed for again', async () => {
  const { file, adhoc, facts } = await scene(
    { db: tunnel },
    'tunnels: { a: { host: h, local: 5, remote: 6 } }\n',
  );
  const before = consentDigest(readDeclared(file, facts));
  await forgetAdhoc(adhoc, facts, ['db']);
  expect(consentDigest(readDeclared(file, facts))).toBe(before);
});
