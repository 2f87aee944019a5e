// A rotation under way, through the built program: what ends a tunnel ends both of its sessions, and what ran over them.
import { describe, expect, test } from 'vitest';
import { bringUp, clientAt, exchange, onlyForward } from '../helpers/forwards-world.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { hashing, outcomeOf, startTarget, type Outcome } from '../helpers/targets.ts';
import { eventually, logins } from '../helpers/ways-in.ts';
import { createWorld, isAlive, processEnd, type World } from '../helpers/world.ts';

/** Sends for as long as somebody takes it. */
function upload(at: string): Promise<Outcome> {
  const socket = clientAt(at);
  const more = (): void => {
    while (socket.writable && socket.write(Buffer.alloc(16_384, 7)));
  };
  socket.on('connect', more).on('drain', more);
  return outcomeOf(socket);
}

const ran = (args: readonly string[]) => async (world: World) => {
  expect(await world.run(args)).toMatchObject({ code: 0 });
};

describe.skipIf(sshdMissing() !== null)('two sessions, of which the old one carries a transfer,', () => {
  test.each([
    ['tunnel restart', true, ran(['restart', 'db'])],
    ['tunnel down', false, ran(['down', 'db'])],
    [
      'SIGTERM',
      false,
      async (world: World) => {
        const pid = (await world.status()).supervisor.pid ?? 0;
        process.kill(pid, 'SIGTERM');
        await processEnd(pid);
      },
    ],
  ])('end with %s, and the transfer with a reset', async (_what, serves, end) => {
    await using sshd = await startSshd();
    await using target = await startTarget(hashing);
    await using world = createWorld();
    await bringUp(world, sshd, `  db: { host: box, local: auto, remote: ${target.port}, rotate: 1s }`);
    const { listen } = onlyForward(await world.tunnel('db'));
    const transfer = upload(listen);
    await eventually(() => target.accepted() === 1);
    const before = logins(sshd);
    await eventually(() => logins(sshd) > before);
    const sessions = sshd.sessionPids();
    expect(sessions.length).toBeGreaterThan(1);

    await end(world);
    expect(await transfer).toEqual({ text: '', error: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) });
    await eventually(() => !sessions.some(isAlive));
    if (serves) expect(await exchange(listen, '')).toMatchObject({ error: null });
    else expect(sshd.sessionPids()).toEqual([]);
  });
});
