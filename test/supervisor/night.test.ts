// The slow retry, through a night, against the log of a real sshd: which credential is tried again, when, and how often.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Host } from '../../src/model/host.ts';
import { local, tunnelOf } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { namespaceMissing, privateEtc } from '../helpers/private-etc.ts';
import { startAgent } from '../helpers/ssh-agent.ts';
import { lockOut, loseSessions, minuteMs, startNight, visits, type Night } from '../helpers/night.ts';
import { hostOf } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { sign } from '../helpers/ways-in.ts';

const newKey = (): string => makeKey(join(temporaryFolder('key'), 'id'));
const named = (key: string): string =>
  execFileSync('ssh-keygen', ['-lf', key], { encoding: 'utf8' }).split(' ')[1] ?? '';
const dayMs = 24 * 60 * minuteMs;

/** A night with one tunnel `db` over this host. */
async function nightAt(sshd: Sshd, more: Partial<Host> = {}, target = 9): Promise<Night & { port: number }> {
  const port = await freePort();
  const forward = local(port, `127.0.0.1:${target}`);
  return Object.assign(await startNight(tunnelOf('db', [hostOf(sshd, more)], forward)), { port });
}

/** Up, then refused: nobody gets in by a key any more. The returned function lets them in again. */
async function refuse(night: Night, sshd: Sshd): Promise<() => void> {
  expect(await night.up('db')).toBeNull();
  const letIn = lockOut(sshd.authorizedKeys, readFileSync(sshd.authorizedKeys));
  await loseSessions(sshd, night);
  await night.until('db', ({ state }) => state === 'needs-you');
  return letIn;
}

/** Nothing is begun for so long: no attempt is under way afterwards, and the log knows of no further connection. */
async function expectQuiet(night: Night, sshd: Sshd, ms: number): Promise<void> {
  const before = await visits(sshd);
  const status = night.one('db');
  night.clock.advance(ms);
  expect(night.one('db')).toEqual(status);
  expect(await visits(sshd)).toEqual(before);
}

describe.skipIf(sshdMissing() !== null)('a key that has logged in there before and is refused', () => {
  test.each([
    ['nobody at the port', 0],
    ['clients at the port', 3],
  ])('is tried again alone after 5, 15, then every 30 minutes, with %s', async (_who, clients) => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const strangers = [newKey(), newKey()] as const;
    const identities = [strangers[0], sshd.identity, strangers[1]];
    await using night = await nightAt(sshd, { identities }, target.port);
    const letIn = await refuse(night, sshd);
    const all = identities.map((key) => `Failed publickey ${named(key)}`);
    const kept = night.one('db').error;
    expect((await visits(sshd)).map(({ attempts }) => attempts)).toEqual([
      [all[0], `Accepted publickey ${named(sshd.identity)}`],
      all,
    ]);

    for (const [round, minutes] of [5, 15, 30, 30, 30].entries()) {
      expect(night.retryInMinutes('db')).toBe(minutes);
      for (let client = 0; client < clients; client += 1)
        expect((await request(night.port, 'hello', { halfClose: false })).error).toBe('ECONNRESET');
      await expectQuiet(night, sshd, minutes * minuteMs - 1);
      expect((await night.look('db')).state).toBe('needs-you');
      // it says what it said: that one of three was refused once more is no news
      expect(night.one('db').error).toEqual({ ...kept, at: expect.any(String) as string });
      const seen = (await visits(sshd)).slice(2).map(({ attempts }) => attempts);
      expect(seen).toEqual(Array.from({ length: round + 1 }, () => [all[1]]));
    }

    letIn();
    await expectQuiet(night, sshd, 30 * minuteMs - 1);
    expect(await night.look('db')).toMatchObject({ state: 'up', error: null, reconnects: 1 });
    expect((await request(night.port, 'hello', { halfClose: false })).text).toBe('HELLO');
    await night.engine.down(['db'], 0);
    const [last, ...others] = (await visits(sshd)).slice(7);
    expect(last?.attempts).toEqual([`Accepted publickey ${named(sshd.identity)}`]);
    expect(others).toEqual([]);
  });

  test('begins at 5 minutes again after it was up', async () => {
    await using sshd = await startSshd();
    await using night = await nightAt(sshd);
    const letIn = await refuse(night, sshd);
    for (const minutes of [5, 15]) {
      expect(night.retryInMinutes('db')).toBe(minutes);
      await night.look('db');
    }
    letIn();
    expect((await night.look('db')).state).toBe('up');
    await refuse(night, sshd);
    expect(night.retryInMinutes('db')).toBe(5);
  });

  test('keeps a client that comes during the look, and serves it when it is let in', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using night = await nightAt(sshd, {}, target.port);
    const letIn = await refuse(night, sshd);
    letIn();
    night.clock.advance(5 * minuteMs);
    expect(night.one('db').state).toBe('connecting');
    expect((await request(night.port, 'patience', { halfClose: false })).text).toBe('PATIENCE');
  });

  // Most servers take passwords too: that a person could type one now does not make the key worth less.
  test.each(['PasswordAuthentication yes', 'KbdInteractiveAuthentication yes'])(
    'comes back at a server with %s, and what a person could say meanwhile is told',
    async (line) => {
      await using sshd = await startSshd({ config: [line] });
      await using night = await nightAt(sshd, {
        auth: ['agent', 'publickey', 'keyboard-interactive', 'password'],
      });
      const letIn = await refuse(night, sshd);
      const asks = { error: { code: 'SECRET_MISSING' }, question: { echo: false } };
      expect(night.one('db')).toMatchObject(asks);
      expect(night.retryInMinutes('db')).toBe(5);
      await night.look('db');
      expect(night.one('db')).toMatchObject(asks);
      expect(night.retryInMinutes('db')).toBe(15);
      expect((await visits(sshd)).at(-1)?.attempts).toEqual([`Failed publickey ${named(sshd.identity)}`]);
      letIn();
      expect((await night.look('db')).state).toBe('up');
    },
  );

  test('is never tried again where auth_retry is off', async () => {
    await using sshd = await startSshd();
    await using night = await nightAt(sshd, { authRetry: false });
    await refuse(night, sshd);
    expect(night.retryInMinutes('db')).toBeNull();
    await expectQuiet(night, sshd, dayMs);
  });

  test('that is gone is not missed: no connection is made to say nothing', async () => {
    await using sshd = await startSshd();
    await using night = await nightAt(sshd, { identities: [newKey(), sshd.identity] });
    await refuse(night, sshd);
    const before = await visits(sshd);
    execFileSync('rm', [sshd.identity]);
    expect((await night.notice('db')).state).toBe('needs-you');
    expect(await visits(sshd)).toEqual(before);
  });
});

test.skipIf(sshdMissing() !== null)('a key that never logged in there is not tried again', async () => {
  await using sshd = await startSshd();
  await using night = await nightAt(sshd, { identities: [newKey()] });
  expect(await night.up('db')).toBe('AUTH_REFUSED');
  expect(night.retryInMinutes('db')).toBeNull();
  await expectQuiet(night, sshd, dayMs);
  expect(await visits(sshd)).toHaveLength(1);
});

test.skipIf(sshdMissing() !== null)(
  'a certificate that has logged in there before is tried again, and neither its key nor another',
  async () => {
    const ca = newKey();
    const authorities = join(temporaryFolder('ca'), 'authorities');
    writeFileSync(authorities, readFileSync(`${ca}.pub`));
    await using sshd = await startSshd({ config: [`TrustedUserCAKeys ${authorities}`] });
    const key = newKey();
    sign(ca, key, '-I', 'night', '-n', sshd.user);
    await using night = await nightAt(sshd, { identities: [newKey(), key] });
    expect(await night.up('db')).toBeNull();
    const letIn = lockOut(authorities, readFileSync(authorities));
    await loseSessions(sshd, night);
    await night.until('db', ({ state }) => state === 'needs-you');
    expect((await visits(sshd)).at(-1)?.attempts).toHaveLength(3);
    for (const minutes of [5, 15, 30]) {
      expect(night.retryInMinutes('db')).toBe(minutes);
      await night.look('db');
      expect((await visits(sshd)).at(-1)?.attempts).toEqual([`Failed publickey ${named(key)} certificate`]);
    }
    letIn();
    expect((await night.look('db')).state).toBe('up');
    await night.engine.down(['db'], 0);
    expect((await visits(sshd)).slice(2)).toHaveLength(4);
  },
);

/** A server whose users log in by what this file says, and by nothing else. */
async function passwordServer(setting: string): Promise<{ sshd: Sshd & AsyncDisposable; word: string }> {
  const folder = temporaryFolder('pam');
  const [word, script] = [join(folder, 'word'), join(folder, 'check.sh')];
  writeFileSync(word, 'first');
  // pam_exec ends what it writes with a NUL
  writeFileSync(script, `#!/bin/sh\n[ "$(tr -d '\\000')" = "$(cat ${word})" ]\n`, { mode: 0o755 });
  const { launcher } = privateEtc([
    `auth required pam_exec.so quiet expose_authtok ${script}`,
    ...['auth optional', 'account required', 'session required'].map((line) => `${line} pam_permit.so`),
  ]);
  const config = ['UsePAM yes', `${setting} yes`, 'PubkeyAuthentication no'];
  return { sshd: await startSshd({ launcher, config }), word };
}

describe.skipIf((sshdMissing() ?? namespaceMissing()) !== null).each([
  ['PasswordAuthentication', 'password'],
  ['KbdInteractiveAuthentication', 'keyboard-interactive/pam'],
])('a password by %s', (setting, shown) => {
  const auth = ['agent', 'publickey', 'keyboard-interactive', 'password'] as const;

  test('from a file that is refused is never sent again, until the file says another', async () => {
    const { sshd, word } = await passwordServer(setting);
    await using _ = sshd;
    const path = join(temporaryFolder('word'), 'word');
    writeFileSync(path, 'first\n', { mode: 0o600 });
    await using agent = await startAgent();
    const source = { agent: { from: 'socket', path: agent.socket }, identitiesOnly: false } as const;
    await using night = await nightAt(sshd, {
      ...source,
      identities: [],
      auth: [...auth],
      password: { from: 'file', path },
    });
    expect(await night.up('db')).toBeNull();
    writeFileSync(word, 'second');
    await loseSessions(sshd, night);
    await night.until('db', ({ state }) => state === 'needs-you');
    expect(night.one('db').error?.code).toBe('AUTH_REFUSED');
    expect(night.retryInMinutes('db')).toBeNull();
    await expectQuiet(night, sshd, dayMs);
    const twice = [[`Accepted ${shown}`], [`Failed ${shown}`]];
    expect((await visits(sshd)).map(({ attempts }) => attempts)).toEqual(twice);

    // a key comes into the agent, the file is written anew with the same word: neither makes the password another
    agent.add(newKey());
    expect((await night.notice('db')).state).toBe('needs-you');
    writeFileSync(path, 'first\n');
    expect((await night.notice('db')).state).toBe('needs-you');
    expect(
      (await visits(sshd)).flatMap(({ attempts }) => attempts).filter((each) => each.includes(shown)),
    ).toEqual(twice.flat());
    writeFileSync(path, 'second\n');
    expect((await night.notice('db')).state).toBe('up');
    await night.engine.down(['db'], 0);
    expect((await visits(sshd)).at(-1)?.attempts).toEqual([`Accepted ${shown}`]);
  });

  test('that was typed is kept for the night, and once refused never sent again', async () => {
    const { sshd, word } = await passwordServer(setting);
    await using _ = sshd;
    await using night = await nightAt(sshd, { identities: [], identitiesOnly: false, auth: [...auth] });
    expect(await night.upAtTerminal('db', () => 'first')).toBeNull();
    await loseSessions(sshd, night);
    await night.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    writeFileSync(word, 'second');
    await loseSessions(sshd, night);
    await night.until('db', ({ state }) => state === 'needs-you');
    expect(night.retryInMinutes('db')).toBeNull();
    await expectQuiet(night, sshd, dayMs);
    expect((await visits(sshd)).map(({ attempts }) => attempts)).toEqual([
      [`Accepted ${shown}`],
      [`Accepted ${shown}`],
      [`Failed ${shown}`],
    ]);
    expect(await night.upAtTerminal('db', () => 'second')).toBeNull();
  });
});
