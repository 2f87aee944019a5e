// The faulty line of the chaos runs: each of its faults is one, and when it is over the line is a line again.
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { openLine, type Line } from '../../chaos/line.ts';
import { freePort } from '../helpers/ports.ts';
import { outcomeOf, startTarget, uppercase, type Target } from '../helpers/targets.ts';

interface Scene extends AsyncDisposable {
  readonly target: Target;
  readonly line: Line;
  open(): Socket;
}

async function setScene(serve: (socket: Socket) => void = uppercase): Promise<Scene> {
  const target = await startTarget(serve);
  const line = await openLine(await freePort(), target.port);
  return {
    target,
    line,
    open: () => connect({ port: line.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }),
    async [Symbol.asyncDispose]() {
      await line[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
    },
  };
}

const answer = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

describe('a line', () => {
  test('carries both directions and their ends', async () => {
    await using scene = await setScene();
    const socket = scene.open();
    const outcome = outcomeOf(socket);
    socket.end('a few words');
    expect(await outcome).toEqual({ text: 'A FEW WORDS', error: null });
  });

  test('carries nothing while it is frozen, not even news of a reset, and everything afterwards', async () => {
    const resets: string[] = [];
    await using scene = await setScene((socket) => {
      uppercase(socket);
      socket.on('error', (error: NodeJS.ErrnoException) => resets.push(error.code ?? ''));
    });
    const [one, other] = [scene.open(), scene.open()];
    for (const socket of [one, other]) {
      socket.write('a');
      expect(await answer(socket)).toBe('A');
    }
    scene.line.change(({ frozen }) => frozen.add('up'));
    one.write('b');
    other.resetAndDestroy();
    await once(other, 'close');
    expect(resets).toEqual([]);
    const answered = answer(one);
    scene.line.change(({ frozen }) => frozen.clear());
    expect(await answered).toBe('B');
    while (resets.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(resets).toEqual(['ECONNRESET']);
    one.destroy();
  });

  test('carries nothing on connections that fell silent, everything on new ones, and all of it afterwards', async () => {
    await using scene = await setScene();
    const old = scene.open();
    old.write('a');
    expect(await answer(old)).toBe('A');
    const thaw = scene.line.freezeOld(['down']);
    const answers: string[] = [];
    old.on('data', (chunk) => answers.push(String(chunk)));
    old.write('b');
    const fresh = scene.open();
    fresh.write('c');
    expect([await answer(fresh), answers]).toEqual(['C', []]);
    const answered = answer(old);
    thaw();
    expect(await answered).toBe('B');
    old.destroy();
    fresh.destroy();
  });

  test('delivers bytes one by one', async () => {
    const sizes: number[] = [];
    await using scene = await setScene((socket) => {
      socket.on('data', (chunk) => sizes.push(chunk.length)).on('end', () => socket.end());
    });
    scene.line.change(({ trickle }) => (trickle.up = 50));
    const socket = scene.open();
    socket.end('x'.repeat(60)).resume();
    await once(socket, 'close');
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(60);
    expect(sizes.length).toBeGreaterThan(5);
  });

  test('delays, and carries no more than its rate', async () => {
    await using scene = await setScene();
    scene.line.change((state) => {
      state.delayMs = 60;
      state.bytesPerSecond = 100_000;
    });
    const socket = scene.open();
    const begin = performance.now();
    const outcome = outcomeOf(socket);
    socket.end('z'.repeat(10_000));
    expect((await outcome).text).toBe('Z'.repeat(10_000));
    // two delays, and a tenth of a second each way, which overlap
    expect(performance.now() - begin).toBeGreaterThan(200);
  });

  test.each([
    ['reset', 'ECONNRESET'],
    ['end', null],
  ] as const)('is cut by a %s after so many bytes', async (how, error) => {
    await using scene = await setScene();
    const cut = new Promise<void>((resolve) =>
      scene.line.change((state) => (state.cut = { bytesLeft: 10, how, done: resolve })),
    );
    const socket = scene.open();
    const outcome = outcomeOf(socket);
    socket.write('x'.repeat(1000));
    await cut;
    expect(await outcome).toEqual({ text: '', error });
    const after = scene.open();
    after.write('again');
    expect(await answer(after)).toBe('AGAIN');
    after.destroy();
  });

  test('refuses, and accepts again', async () => {
    await using scene = await setScene();
    const socket = scene.open();
    socket.write('a');
    expect(await answer(socket)).toBe('A');
    const outcome = outcomeOf(socket);
    await scene.line.refuse();
    expect((await outcome).error).toBe('ECONNRESET');
    expect((await outcomeOf(scene.open())).error).toBe('ECONNREFUSED');
    await scene.line.accept();
    const after = scene.open();
    after.write('b');
    expect(await answer(after)).toBe('B');
    after.destroy();
  });
});
