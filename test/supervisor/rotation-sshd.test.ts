// A second session beside the first, against a real sshd: what the fakes cannot show.
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { local, tunnelOf } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { minuteMs, startNight } from '../helpers/night.ts';
import { hostOf } from '../helpers/ssh-dialer.ts';
import { freePort, makeKey, sshdMissing, startSshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { eventually, logins, sign } from '../helpers/ways-in.ts';

/** Keepalives would find a clock that leaps by an hour silent. */
const keepalive = { intervalMs: 0, count: 3 };

/** A client that stays. */
async function stays(port: number): Promise<{ say(text: string): Promise<string>; end(): void }> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  return {
    async say(text) {
      socket.write(text);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      return answer.toString();
    },
    end: () => void socket.end(),
  };
}

describe.skipIf(sshdMissing() !== null)('a session that a certificate let in', () => {
  test('is replaced before that ends by one with the renewed certificate, and goes on with the same one', async () => {
    const folder = temporaryFolder('renewal');
    const [ca, key] = [makeKey(join(folder, 'ca')), makeKey(join(folder, 'id'))];
    await using sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`] });
    const certify = (minutes: number): string =>
      sign(ca, key, '-I', 'me', '-n', sshd.user, '-V', `-1h:+${minutes}m`);
    certify(60);
    await using target = await startTarget(uppercase);
    const port = await freePort();
    const host = hostOf(sshd, { identities: [key], keepalive });
    await using night = await startNight(tunnelOf('db', [host], local(port, `127.0.0.1:${target.port}`)));
    night.clock.setWall(Date.now() - night.clock.now());
    const session = (): unknown => night.engine.examine('db')?.session;
    const before = logins(sshd);

    expect(await night.up('db')).toBeNull();
    const [first, running] = [session(), await stays(port)];
    expect(await running.say('one')).toBe('ONE');
    night.clock.advance(54 * minuteMs);
    expect([logins(sshd), session()]).toEqual([before + 1, first]);

    certify(120);
    night.clock.advance(minuteMs);
    await night.until('db', () => session() !== first);
    const second = session();
    expect([await running.say('two'), (await request(port, 'three')).text]).toEqual(['TWO', 'THREE']);
    running.end();
    await night.until('db', ({ forwards }) => forwards[0]?.open === 0);
    night.clock.advance(2_000);
    await eventually(() => sshd.sessionPids().length === 1);

    night.clock.advance(61 * minuteMs);
    await eventually(() => logins(sshd) === before + 3 && sshd.sessionPids().length === 1);
    expect(session()).toBe(second);
    expect((await request(port, 'four')).text).toBe('FOUR');
    expect(night.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
  });
});
