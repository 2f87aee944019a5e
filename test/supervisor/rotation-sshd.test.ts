// A second session beside the first, against a real sshd: what the fakes cannot show.
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Session } from '../../src/model/session.ts';
import { local, tunnelOf } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { minuteMs, startNight } from '../helpers/night.ts';
import { hostOf } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sendSignal, sshdMissing, startSshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { eventually, logins, sign } from '../helpers/ways-in.ts';

/** Keepalives would find a clock that leaps by an hour silent. */
const keepalive = { intervalMs: 0, count: 3 };

/** A client that stays. */
async function stays(port: number): Promise<{ say(text: string): Promise<string>; end(): Promise<void> }> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined); // whoever waits for an answer hears of it
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await once(socket, 'connect');
  return {
    async say(text) {
      socket.write(text);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      return answer.toString();
    },
    end() {
      socket.end();
      return closed;
    },
  };
}

describe.skipIf(sshdMissing() !== null)('a session that owes an answer', () => {
  test.each([
    ['since a wake is replaced, and loses nothing when it answers after all', 2_000, 3_000, true],
    ['since a wake is replaced, and only its own connections are reset when it is lost', 2_000, 3_000, false],
    ['to a keepalive is replaced, and loses nothing when it answers after all', 45_000, 30_000, true],
    ['to a keepalive is replaced, and is lost when its keepalives are spent', 45_000, 30_000, false],
  ])('%s', async (_what, lateMs, lostMs, thaws) => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const port = await freePort();
    const tunnel = tunnelOf('db', [hostOf(sshd)], local(port, `127.0.0.1:${target.port}`));
    await using night = await startNight(tunnel);
    const session = (): Session | null | undefined => night.engine.examine('db')?.session;
    const before = logins(sshd);
    expect(await night.up('db')).toBeNull();
    const [first, running] = [session(), await stays(port)];
    expect(await running.say('one')).toBe('ONE');
    // one after the other: those that a fresh session sends by itself are answered too, and nothing is on its way
    for (let pings = 0; pings < 6; pings += 1) await first?.ping(20_000);

    const frozen = sshd.signalSessions('SIGSTOP');
    if (lateMs === 2_000) night.engine.lookAround('the machine slept');
    night.clock.advance(lateMs - 1);
    expect(logins(sshd)).toBe(before + 1);
    night.clock.advance(1);
    await night.until('db', () => session() !== first);
    expect((await request(port, 'two')).text).toBe('TWO');
    expect(night.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });

    const answer = running.say('three');
    if (thaws) sendSignal(frozen, 'SIGCONT');
    else night.clock.advance(lostMs);
    if (thaws) expect(await answer).toBe('THREE');
    else await expect(answer).rejects.toThrow('ECONNRESET');
    expect((await request(port, 'four')).text).toBe('FOUR');
    const said = { code: 'LINK_LOST', message: expect.stringMatching(/no (byte|answer)/) as string };
    const lastError = thaws ? null : said;
    const forwards = [{ failed: thaws ? 0 : 1 }];
    expect(night.one('db')).toMatchObject({ state: 'up', reconnects: 0, error: null, lastError, forwards });
    await running.end();
    sendSignal(frozen, 'SIGCONT');
  });
});

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
    await running.end();
    night.clock.advance(2_000);
    await eventually(() => sshd.sessionPids().length === 1);

    night.clock.advance(61 * minuteMs);
    await eventually(() => logins(sshd) === before + 3 && sshd.sessionPids().length === 1);
    expect(session()).toBe(second);
    expect((await request(port, 'four')).text).toBe('FOUR');
    expect(night.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
  });
});
