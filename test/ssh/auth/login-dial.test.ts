// Credentials under the real dialer: the default offer meets a post-quantum server, and a slow person is not a dead server.
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/model/clock.ts';
import { systemClock } from '../../../src/model/clock.ts';
import { Secret } from '../../../src/model/secret.ts';
import { createCredentials } from '../../../src/ssh/auth/credentials.ts';
import { startHybridServer } from '../../helpers/hybrid-server.ts';
import { testParts } from '../../helpers/login.ts';
import { hostOf, testContext, testDialer } from '../../helpers/ssh-dialer.ts';
import { makeKey, sshdMissing, startSshd } from '../../helpers/sshd.ts';
import { temporaryFolder } from '../../helpers/folder.ts';

describe('a dial with real credentials', () => {
  test('takes the post-quantum key exchange first, through rekeys', async () => {
    await using server = await startHybridServer();
    const { createLogin } = createCredentials(testParts());
    const { dialer } = testDialer({ createLogin });
    const identity = makeKey(join(temporaryFolder('hybrid'), 'id'));
    const host = hostOf({ port: server.port, user: 'root', identity });
    const context = testContext();
    const session = await dialer.dial(host, { via: null, transport: null }, context);

    expect(session.algorithms.kex).toBe('mlkem768x25519-sha256');
    server.rekey();
    await server.reached(2);

    expect(await session.ping(10_000)).toBeGreaterThanOrEqual(0);

    expect(context.steps.find(({ layer }) => layer === 'kex')?.detail).toContain('mlkem768x25519-sha256');
    await session.close();
  });

  test.skipIf(sshdMissing() !== null)(
    'waits for a person longer than a server may be silent, and counts none of it as the login',
    async () => {
      await using sshd = await startSshd({ config: ['LoginGraceTime 0'] });
      const identity = makeKey(join(sshd.folder, 'locked'), ['-t', 'ed25519', '-a', '2'], 'pw');
      appendFileSync(sshd.authorizedKeys, readFileSync(`${identity}.pub`));
      // the login's deadline, run out at will; every other timer is real
      const late: (() => void)[] = [];
      let thoughtMs = 0;
      const clock: Clock = {
        ...systemClock,
        monotonic: () => systemClock.monotonic() + thoughtMs,
        schedule(delayMs, task) {
          if (delayMs < 100_000) return systemClock.schedule(delayMs, task);
          late.push(task);
          return () => void late.splice(late.indexOf(task), 1);
        },
      };
      const { createLogin } = createCredentials(testParts({ clock }));
      const { dialer } = testDialer({ createLogin, clock });
      const context = testContext(null, {
        personPresent: () => true,
        ask: () => {
          for (const task of late.splice(0)) task();
          thoughtMs += 3_600_000;
          return Promise.resolve(new Secret('pw'));
        },
      });
      const session = await dialer.dial(
        hostOf({ ...sshd, identity }),
        { via: null, transport: null },
        context,
      );
      expect(session.login.accepted[0]).toMatch(/^key ED25519/);
      expect(thoughtMs).toBe(3_600_000);
      const spent = context.steps.map(({ layer, ms }) => [layer, (ms ?? 0) < 3_600_000]);
      expect(spent).toEqual(expect.arrayContaining([['auth', true]]));
      expect(spent.filter(([, isWithout]) => !isWithout)).toEqual([]);
      await session.close();
    },
  );
});
