// The channels of a session: they tell when the last one has ended, however it ended.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../../src/errors.ts';
import { systemClock } from '../../../src/model/clock.ts';
import { tcp } from '../../../src/model/endpoint.ts';
import { GiveUp } from '../../../src/model/give-up.ts';
import type { Channel } from '../../../src/model/session.ts';
import { Channels, mostUnanswered } from '../../../src/ssh/channels/channels.ts';
import { createWindowBudget } from '../../../src/ssh/channels/window.ts';
import type { Wire } from '../../../src/ssh/ssh2/wire.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';

const nothing = (): void => undefined;

interface Scene {
  readonly channels: Channels;
  readonly clock: FakeClock;
  /** Opens a channel, which the server has not confirmed yet: its number is as high as many were opened before. */
  open(signal?: GiveUp): Promise<Channel>;
  confirm(id: number): Promise<void>;
  /** How often it was told that nothing is open. */
  idle: number;
  /** Packets of data that went out. */
  packets: number;
  /** Why nothing can be sent any more. */
  broken: unknown[];
}

/** `still`: no time passes, and a great many deadlines cost nothing. */
function sceneOf(still = false): Scene {
  const clock = new FakeClock();
  const channels = new Channels({
    clock: still ? { ...systemClock, schedule: () => nothing } : clock,
    budget: createWindowBudget(),
    stream: { writableLength: 0 },
    slabs: null,
    rttMs: () => null,
    bug: nothing,
    accept: () => nothing,
    debug: nothing,
    disconnect: nothing,
    broken: (thrown) => scene.broken.push(thrown),
  });
  let last = 0;
  const reserve = (): number => last++;
  const data = (): void => void (scene.packets += 1);
  const wire = { reserve, release: nothing, openTcp: nothing, confirm: nothing, close: nothing, data };
  channels.start(wire as Partial<Wire> as Wire);
  const scene: Scene = {
    channels,
    clock,
    idle: 0,
    packets: 0,
    broken: [],
    open: (signal) =>
      channels.open(tcp('db', 1), { host: '127.0.0.1', port: 2 }, { timeoutMs: 1000, signal }),
    confirm: async (id) => (channels.events.opened(id, 100 + id, 1000, 1000), await settle()),
  };
  return scene;
}

function watched(): Scene {
  const scene = sceneOf();
  scene.channels.onIdle(() => (scene.idle += 1));
  return scene;
}

test('a session without a channel is idle at once, and tells it once', () => {
  const { idle } = watched();
  expect(idle).toBe(1);
});

test('channels count until each of them is closed, attached or not', async () => {
  const scene = sceneOf();
  const unattached = scene.open();
  const attached = scene.open();
  scene.channels.onIdle(() => (scene.idle += 1));
  await scene.confirm(0);
  await scene.confirm(1);
  (await attached).attach({ data: nothing, end: nothing, drain: nothing, closed: nothing });
  (await unattached).close();
  scene.channels.events.closed(0);
  expect(scene.idle).toBe(0);
  scene.channels.events.closed(1);
  expect(scene.idle).toBe(1);
});

test('a channel that the server opened counts too', async () => {
  const scene = sceneOf();
  const open = { sender: 7, window: 1000, packetSize: 1000 } as Parameters<
    typeof scene.channels.events.incoming
  >[0];
  scene.channels.events.incoming(open);
  scene.channels.onIdle(() => (scene.idle += 1));
  expect(scene.idle).toBe(0);
  scene.channels.events.closed(0);
  expect(scene.idle).toBe(1);
});

test('an opening counts until it is refused, or nobody waits for it any more', async () => {
  const scene = sceneOf();
  const refused = scene.open();
  const late = scene.open();
  late.catch(nothing);
  scene.channels.onIdle(() => (scene.idle += 1));
  scene.channels.events.refused(0, 2, 'no');
  await expect(refused).rejects.toThrow('no');
  expect(scene.idle).toBe(0);
  await scene.clock.advance(1000);
  await expect(late).rejects.toThrow('no answer');
  expect(scene.idle).toBe(1);
});

test('a lost link leaves nothing open', async () => {
  const scene = sceneOf();
  const opening = scene.open();
  void scene.open();
  await scene.confirm(1);
  scene.channels.onIdle(() => (scene.idle += 1));
  scene.channels.lose(new TunnelError('LINK_LOST', 'link lost'));
  await expect(opening).rejects.toThrow('link lost');
  expect(scene.idle).toBe(1);
});

test('a peer that takes a byte a packet keeps nobody waiting: the loop goes round between its turns', async () => {
  const scene = sceneOf();
  const opening = scene.open();
  scene.channels.events.opened(0, 100, 100_000, 1);
  const channel = await opening;
  channel.attach({ data: nothing, end: nothing, drain: nothing, closed: nothing });
  channel.write(Buffer.alloc(10_000));
  await new Promise((resolve) => setImmediate(resolve));
  expect(scene.packets).toBeLessThan(1000);
  await expect.poll(() => scene.packets).toBe(10_000);
});

describe('a server that never answers', () => {
  test('when connections are opened loses its link at a number of them, not before', async () => {
    const scene = sceneOf(true);
    const inVain = (): void => {
      const leaves = new GiveUp();
      scene.open(leaves).catch(nothing);
      leaves.abort();
    };
    for (let count = 0; count < mostUnanswered; count += 1) inVain();
    scene.channels.events.refused(0, 2, 'late'); // an answer makes room for one
    scene.channels.events.opened(1, 100, 1000, 1000); // closed at once, and that is not answered
    inVain();
    expect(scene.broken).toEqual([]);
    inVain();
    expect(scene.broken).toEqual([
      new Error('the server does not answer when connections are opened or closed'),
    ]);
  });

  test('when they are closed does too', async () => {
    const scene = sceneOf(true);
    const closed = async (id: number): Promise<void> => {
      const opening = scene.open();
      scene.channels.events.opened(id, 100, 1000, 1000);
      (await opening).close();
    };
    for (let id = 0; id < mostUnanswered; id += 1) await closed(id);
    scene.channels.events.closed(0); // an answer makes room for one
    await closed(mostUnanswered);
    expect(scene.broken).toEqual([]);
    await closed(mostUnanswered + 1);
    expect(scene.broken).toHaveLength(1);
  });
});
