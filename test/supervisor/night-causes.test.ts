// `needs-you` ends by itself when its cause may be gone, one cause a test, against the log of a real sshd: how many
// connections it takes, and what is offered on them.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Host } from '../../src/model/host.ts';
import { createTrustStore } from '../../src/trust/store.ts';
import { configOf, local, tunnelOf, withEnvironment } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { minuteMs, startNight, visits, type Night } from '../helpers/night.ts';
import { startAgent } from '../helpers/ssh-agent.ts';
import { hostOf } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { requests, sign } from '../helpers/ways-in.ts';

const newKey = (passphrase = ''): string =>
  makeKey(join(temporaryFolder('key'), 'id'), ['-t', 'ed25519', '-a', '4'], passphrase);
const named = (key: string): string =>
  execFileSync('ssh-keygen', ['-lf', key], { encoding: 'utf8' }).split(' ')[1] ?? '';

async function nightAt(sshd: Sshd, more: Partial<Host>): Promise<Night> {
  const forward = local(await freePort(), '127.0.0.1:9');
  return startNight(tunnelOf('db', [hostOf(sshd, more)], forward));
}

const attempts = async (sshd: Sshd): Promise<(readonly string[])[]> =>
  (await visits(sshd)).map((visit) => visit.attempts);

/** It is seen, and the tunnel is up; then down, so that the log is complete. */
async function expectUp(night: Night): Promise<void> {
  expect((await night.notice('db')).state).toBe('up');
  await night.engine.down(['db'], 0);
}

/** It is seen, and it leads to nothing. */
async function expectStill(night: Night): Promise<void> {
  expect((await night.notice('db')).state).toBe('needs-you');
}

describe.skipIf(sshdMissing() !== null)('a refused login ends its wait', () => {
  test('when the key is added to an agent full of others, which are not offered again', async () => {
    await using sshd = await startSshd(); // MaxAuthTries 6
    await using agent = await startAgent();
    const others = Array.from({ length: 6 }, () => newKey());
    for (const key of others) agent.add(key);
    await using night = await nightAt(sshd, {
      identities: [],
      identitiesOnly: false,
      auth: ['agent', 'publickey'],
      agent: { from: 'socket', path: agent.socket },
    });
    expect(await night.up('db')).toBe('AUTH_REFUSED');
    const first = others.map((key) => `Failed publickey ${named(key)}`);
    expect((await attempts(sshd)).flat()).toEqual(first);

    const another = newKey();
    agent.add(another);
    await expectStill(night);
    expect((await attempts(sshd)).slice(1)).toEqual([[`Failed publickey ${named(another)}`]]);
    // what was refused is told, whenever that was
    for (const key of [...others, another]) expect(night.one('db').error?.message).toContain(named(key));

    agent.add('-d', another);
    await expectStill(night);
    expect(await attempts(sshd)).toHaveLength(2); // nothing new, so no connection

    agent.add(sshd.identity);
    await expectUp(night);
    expect((await attempts(sshd)).slice(2)).toEqual([[`Accepted publickey ${named(sshd.identity)}`]]);
  });

  test('when the key file is another one, not when it is only touched', async () => {
    await using sshd = await startSshd();
    const key = newKey();
    await using night = await nightAt(sshd, { identities: [key] });
    expect(await night.up('db')).toBe('AUTH_REFUSED');
    const refused = `Failed publickey ${named(key)}`;
    utimesSync(key, 1, 1);
    await expectStill(night);
    expect(await attempts(sshd)).toEqual([[refused]]);

    writeFileSync(`${key}.new`, readFileSync(sshd.identity), { mode: 0o600 });
    writeFileSync(`${key}.pub`, readFileSync(`${sshd.identity}.pub`));
    renameSync(`${key}.new`, key);
    await expectUp(night);
    expect(await attempts(sshd)).toEqual([[refused], [`Accepted publickey ${named(sshd.identity)}`]]);
  });

  test('when a certificate comes to lie beside the key, or a renewed one', async () => {
    const ca = newKey();
    await using sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`] });
    const key = newKey();
    await using night = await nightAt(sshd, { identities: [key] });
    expect(await night.up('db')).toBe('AUTH_REFUSED');
    sign(ca, key, '-I', 'night', '-n', 'somebody-else');
    await expectStill(night);
    sign(ca, key, '-I', 'night', '-n', sshd.user);
    await expectUp(night);
    expect(await attempts(sshd)).toEqual([
      [`Failed publickey ${named(key)}`],
      [`Failed publickey ${named(key)} certificate`],
      [`Accepted publickey ${named(key)} certificate`],
    ]);
  });

  test('when the config names another key', async () => {
    await using sshd = await startSshd();
    const port = await freePort();
    const key = newKey();
    const tunnel = (identities: string[]): ReturnType<typeof tunnelOf> =>
      tunnelOf('db', [hostOf(sshd, { identities })], local(port, '127.0.0.1:9'));
    await using night = await startNight(tunnel([key]));
    expect(await night.up('db')).toBe('AUTH_REFUSED');
    await night.engine.apply(configOf(tunnel([sshd.identity])), { prune: false });
    await night.until('db', ({ state }) => state === 'up');
    await night.engine.down(['db'], 0);
    expect(await attempts(sshd)).toEqual([
      [`Failed publickey ${named(key)}`],
      [`Accepted publickey ${named(sshd.identity)}`],
    ]);
  });
});

describe.skipIf(sshdMissing() !== null)(
  'a login that lacks something offers nothing, and ends its wait',
  () => {
    test('when the mode of the key file is mended', async () => {
      await using sshd = await startSshd();
      chmodSync(sshd.identity, 0o644);
      await using night = await nightAt(sshd, {});
      expect(await night.up('db')).toBe('KEY_UNREADABLE');
      expect(await attempts(sshd)).toEqual([[]]); // for the host key, and nothing was offered
      chmodSync(sshd.identity, 0o600);
      await expectUp(night);
      expect(await attempts(sshd)).toEqual([[], [`Accepted publickey ${named(sshd.identity)}`]]);
    });

    test('when the key file appears', async () => {
      await using sshd = await startSshd();
      const key = join(temporaryFolder('late'), 'id');
      await using night = await nightAt(sshd, { identities: [key] });
      expect(await night.up('db')).toBe('KEY_UNREADABLE');
      expect(await attempts(sshd)).toEqual([[]]); // for the host key, and nothing was offered
      writeFileSync(`${key}.new`, readFileSync(sshd.identity), { mode: 0o600 });
      renameSync(`${key}.new`, key);
      await expectUp(night);
      expect(await attempts(sshd)).toHaveLength(2);
    });

    test('when the agent is there', async () => {
      await using sshd = await startSshd();
      await using agent = await startAgent();
      agent.add(sshd.identity);
      const path = join(temporaryFolder('agent'), 'late');
      await using night = await nightAt(sshd, {
        identities: [],
        identitiesOnly: false,
        auth: ['agent'],
        agent: { from: 'socket', path },
      });
      expect(await night.up('db')).toBe('AGENT_DOWN');
      expect(await attempts(sshd)).toEqual([[]]); // for the host key, and nothing was offered
      symlinkSync(agent.socket, path);
      await expectUp(night);
      expect(await attempts(sshd)).toEqual([[], [`Accepted publickey ${named(sshd.identity)}`]]);
    });

    test('when the file with the passphrase appears, and says the right one', async () => {
      await using sshd = await startSshd();
      const key = newKey('two words');
      writeFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
      const path = join(temporaryFolder('word'), 'word');
      await using night = await nightAt(sshd, { identities: [key], passphrase: { from: 'file', path } });
      expect(await night.up('db')).toBe('SECRET_MISSING');
      writeFileSync(`${path}.new`, 'one word\n', { mode: 0o600 });
      renameSync(`${path}.new`, path);
      await expectStill(night);
      writeFileSync(path, 'two words\n');
      await expectUp(night);
      expect((await attempts(sshd)).flat()).toEqual([`Accepted publickey ${named(key)}`]);
    });

    test('when a command brings the variable', async () => {
      await using sshd = await startSshd();
      const key = newKey('two words');
      writeFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
      await using night = await nightAt(sshd, {
        identities: [key],
        passphrase: { from: 'env', name: 'WORDS' },
      });
      expect(await night.up('db')).toBe('SECRET_MISSING');
      expect(await night.up('db', withEnvironment({ variables: { WORDS: 'two words' } }))).toBeNull();
      await night.engine.down(['db'], 0);
      expect((await attempts(sshd)).flat()).toEqual([`Accepted publickey ${named(key)}`]);
    });
  },
);

test.skipIf(sshdMissing() !== null)(
  'algorithms that do not meet are looked at every 15 minutes and after a wake, and no login is begun',
  async () => {
    await using sshd = await startSshd({ config: ['Ciphers aes256-ctr'] });
    const none = { kex: null, mac: null, hostKey: null, pubkey: null };
    await using night = await nightAt(sshd, { algorithms: { ...none, cipher: ['aes128-ctr'] } });
    expect(await night.up('db')).toBe('KEX_FAILED');
    expect(night.one('db')).toMatchObject({ state: 'needs-you', error: { code: 'KEX_FAILED' } });
    expect(await night.up('db')).toBe('KEX_FAILED'); // the kept one
    expect(await visits(sshd)).toHaveLength(1);
    expect(night.retryInMinutes('db')).toBe(15);
    night.clock.advance(15 * minuteMs - 1);
    expect((await night.look('db')).state).toBe('needs-you');
    expect(await visits(sshd)).toHaveLength(2);
    expect(requests(sshd)).toBe(0);

    const file = join(sshd.folder, 'sshd_config');
    await sshd.stop();
    writeFileSync(file, readFileSync(file, 'utf8').replace('aes256-ctr', 'aes128-ctr'));
    await sshd.start();
    night.engine.lookAround('woke');
    await night.until('db', ({ state }) => state === 'up');
  },
);

describe.skipIf(sshdMissing() !== null)('a host key that is not trusted', () => {
  test.each(['unknown', 'changed'])(
    'and %s is looked at every 15 minutes and after a wake, by a key exchange and no login',
    async (what) => {
      await using sshd = await startSshd();
      await using other = await startSshd();
      const known = join(temporaryFolder('known'), 'known_hosts');
      const line = sshd.knownHostsLine().split(' ')[0] ?? '';
      if (what === 'changed') writeFileSync(known, other.knownHostsLine().replace(/^\S+/, () => line) + '\n');
      await using night = await nightAt(sshd, { hostKeys: 'ask', knownHosts: [known] });
      expect(await night.up('db')).toBe(`HOST_KEY_${what.toUpperCase()}`);
      for (const looks of [2, 3, 4]) {
        expect(night.retryInMinutes('db')).toBe(15);
        night.clock.advance(15 * minuteMs - 1);
        expect(night.one('db').state).toBe('needs-you');
        expect(await visits(sshd)).toHaveLength(looks - 1);
        expect((await night.look('db')).state).toBe('needs-you');
        expect(await visits(sshd)).toHaveLength(looks);
      }
      night.engine.lookAround('woke');
      await night.until('db', ({ state }) => state === 'needs-you');
      expect(await visits(sshd)).toHaveLength(5);
      expect(requests(sshd)).toBe(0);

      writeFileSync(known, `${sshd.knownHostsLine()}\n`); // by another program
      await expectUp(night);
      expect(await visits(sshd)).toHaveLength(6);
      expect(requests(sshd)).toBe(2);
    },
  );

  test('ends its wait when the host is trusted, at once', async () => {
    await using sshd = await startSshd();
    await using night = await nightAt(sshd, { hostKeys: 'ask' });
    expect(await night.up('db')).toBe('HOST_KEY_UNKNOWN');
    const [, type = '', blob = ''] = sshd.knownHostsLine().split(' ');
    expect(type).toBe('ssh-ed25519');
    const store = createTrustStore({ file: night.knownHosts, now: Date.now });
    await store.trust(`[127.0.0.1]:${sshd.port}`, Buffer.from(blob, 'base64'));
    night.engine.recheck(['test']);
    await night.until('db', ({ state }) => state === 'up');
    await night.engine.down(['db'], 0);
    expect((await attempts(sshd)).flat()).toEqual([`Accepted publickey ${named(sshd.identity)}`]);
    expect(await visits(sshd)).toHaveLength(2);
  });
});

test.skipIf(sshdMissing() !== null)(
  'a refused login does not end its wait with a wake, a trusted key or a command that brings nothing',
  async () => {
    await using sshd = await startSshd();
    await using night = await nightAt(sshd, { identities: [newKey()] });
    expect(await night.up('db')).toBe('AUTH_REFUSED');
    const { at: _, ...error } = night.one('db').error ?? { at: '' };
    for (let round = 0; round < 5; round += 1) {
      night.engine.lookAround('woke');
      night.engine.recheck(['test']);
      await night.until('db', ({ state }) => state === 'needs-you');
      expect(await night.up('db')).toBe('AUTH_REFUSED');
    }
    expect(night.one('db')).toMatchObject({ state: 'needs-you', error });
    expect(await visits(sshd)).toHaveLength(1);
  },
);
