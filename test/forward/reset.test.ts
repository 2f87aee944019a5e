// An 'end' that was a reset: told from an end by the error that still waits in the kernel, whatever this side did before.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { resetSocket } from '../../src/model/reset-socket.ts';
import { wasReset } from '../../src/forward/reset.ts';
import { socketPair } from '../helpers/socket-pair.ts';

const words = 'x'.repeat(1000);

/** What an accepted socket reports when everything of its client, the last thing too, is there before it reads. */
async function told(served: Socket, client: Socket, leave: () => void): Promise<string> {
  served.pause();
  client.on('error', () => undefined);
  client.write(words);
  await new Promise<void>((resolve) => client.write(words, () => resolve()));
  const left = Promise.race([once(client, 'finish'), once(client, 'close')]);
  leave();
  await left;
  let read = 0;
  served.on('data', (chunk) => (read += chunk.length));
  const ending = new Promise<string>((resolve) => {
    served.once('end', () => resolve(wasReset(served) ? 'reset' : 'end'));
    served.once('error', () => resolve('reset'));
  });
  served.resume();
  const how = await ending;
  expect(read).toBe(2 * words.length);
  served.destroy();
  client.destroy();
  return how;
}

describe('a client that sends and goes', () => {
  test.each(['open', 'ended'] as const)(
    'with a reset is told as one while this side is %s',
    async (state) => {
      const { client, served } = await socketPair();
      if (state === 'ended') {
        client.resume();
        served.end();
        await once(client, 'end');
      }
      expect(await told(served, client, () => client.resetAndDestroy())).toBe('reset');
    },
  );

  test.each(['open', 'ended'] as const)('with an end is told as one while this side is %s', async (state) => {
    const { client, served } = await socketPair();
    if (state === 'ended') {
      client.resume();
      served.end();
      await once(client, 'end');
    }
    expect(await told(served, client, () => client.end())).toBe('end');
  });

  test('on a unix socket with an end is told as one', async () => {
    const { client, served } = await socketPair('unix');
    expect(await told(served, client, () => client.end())).toBe('end');
  });
});

test('a reset while the end of the socket is on its way waits for it: the system refuses it until then, and the socket would never close', async () => {
  const { client, served } = await socketPair();
  const errors: Error[] = [];
  client.on('error', () => undefined).resume();
  served.on('error', (error) => errors.push(error));
  served.end();
  await new Promise<void>((resolve) => process.nextTick(resolve)); // the shutdown is asked for now
  resetSocket(served);
  await Promise.all([once(served, 'close'), once(client, 'end')]);
  expect(errors).toEqual([]);
  client.destroy();
});
