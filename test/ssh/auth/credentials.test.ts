// The digest of what a login depends on: whatever counts changes it, and nothing else does.
import { appendFileSync, chmodSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Host } from '../../../src/model/host.ts';
import type { CallerEnvironment } from '../../../src/model/session.ts';
import { describeCircumstances } from '../../../src/ssh/auth/credentials.ts';
import { temporaryFolder } from '../../helpers/folder.ts';
import { bareHost, testParts } from '../../helpers/login.ts';
import { startAgent } from '../../helpers/ssh-agent.ts';
import { makeKey } from '../../helpers/sshd.ts';

const parts = testParts();

const digest = (host: Host, environment: Partial<CallerEnvironment> = {}): Promise<string> =>
  describeCircumstances(host, { variables: {}, agentSockets: [], ...environment }, parts);

/** A file of 0600 whose change can be seen even within one tick of the clock. */
function file(name: string): { path: string; change: () => void } {
  const path = join(temporaryFolder('around'), name);
  writeFileSync(path, 'one\n', { mode: 0o600 });
  return {
    path,
    change() {
      appendFileSync(path, 'more\n');
      utimesSync(path, 1, 1);
    },
  };
}

test.each(['password', 'passphrase', 'totp'] as const)(
  'a changed file: source of the %s is noticed',
  async (kind) => {
    const { path, change } = file('secret');
    const host = bareHost(22, { [kind]: { from: 'file', path } });
    const before = await digest(host);
    expect(await digest(host)).toBe(before);
    change();
    const changed = await digest(host);
    expect(changed).not.toBe(before);
    chmodSync(path, 0o640);
    expect(await digest(host), 'a mode may be what it waited for').not.toBe(changed);
  },
);

test("a changed password of the proxy is noticed, the environment's as well", async () => {
  const { path, change } = file('proxy');
  const proxy = { scheme: 'socks5', host: 'p', port: 1080, user: 'me' } as const;
  const host = bareHost(22, { proxy: { ...proxy, password: { from: 'file', path } } });
  const before = await digest(host);
  change();
  expect(await digest(host)).not.toBe(before);
  const fromEnvironment = bareHost(22, { proxy: { ...proxy, password: { from: 'env', name: 'P' } } });
  expect(await digest(fromEnvironment, { variables: { P: 'a' } })).not.toBe(
    await digest(fromEnvironment, { variables: { P: 'b' } }),
  );
});

test('a key file that appears, its certificate, and a changed one are noticed', async () => {
  const path = join(temporaryFolder('keys'), 'id');
  const host = bareHost(22, { identities: [path] });
  const digests = [await digest(host)];
  makeKey(path);
  digests.push(await digest(host));
  writeFileSync(`${path}-cert.pub`, 'x');
  digests.push(await digest(host));
  chmodSync(path, 0o400);
  digests.push(await digest(host));
  expect(new Set(digests).size).toBe(4);
});

test("the agent's list of keys is part of it, and so is that it is gone", async () => {
  await using agent = await startAgent();
  const host = bareHost(22, { agent: { from: 'environment' } });
  const environment = { agentSockets: [agent.socket] };
  const digests = [await digest(host, environment)];
  expect(await digest(host, environment)).toBe(digests[0]);
  agent.add(makeKey(join(temporaryFolder('keys'), 'id')));
  digests.push(await digest(host, environment));
  await agent.stop();
  digests.push(await digest(host, environment));
  expect(new Set(digests).size).toBe(3);
});
