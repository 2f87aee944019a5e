// A channel against a wire that only records: exact windows, bounded queues, one end.
import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChannelReader } from '../../../src/model/session.ts';
import { SshChannel, type ChannelHome, type OpenChannel } from '../../../src/ssh/channels/channel.ts';
import type { Wire } from '../../../src/ssh/ssh2/wire.ts';
import { createWindowBudget } from '../../../src/ssh/channels/window.ts';

const mib = 1024 * 1024;

function scene(more: { window?: number; packetSize?: number } = {}): {
  channel: SshChannel;
  sent: string[];
  bytes: () => number;
  crowd: (crowded: boolean) => void;
  turns: OpenChannel[];
  bugs: unknown[];
  adjusted: () => number;
  over: () => boolean;
  budget: ReturnType<typeof createWindowBudget>;
} {
  const sent: string[] = [];
  const turns: OpenChannel[] = [];
  const bugs: unknown[] = [];
  let bytes = 0;
  let adjusted = 0;
  let crowded = false;
  let over = false;
  const budget = createWindowBudget();
  const wire = {
    data(_id: number, chunk: Buffer) {
      bytes += chunk.length;
      sent.push(`data ${chunk.length}`);
    },
    adjust(_id: number, by: number) {
      adjusted += by;
      sent.push(`adjust ${by}`);
    },
    end: () => sent.push('end'),
    close: () => sent.push('close'),
  } as unknown as Wire;
  const home: ChannelHome = {
    wire,
    budget,
    slabs: null,
    rttMs: () => null,
    served: 0,
    nowMs: () => 0,
    crowded: () => crowded,
    waitForRoom: (waiting) => turns.push(waiting),
    bug: (thrown) => bugs.push(thrown),
    closing: () => undefined,
    over: () => (over = true),
  };
  const peer = { window: more.window ?? 2 * mib, packetSize: more.packetSize ?? 32 * 1024 };
  const channel = new SshChannel(home, { id: 0, remoteId: 7 }, peer, 2 * mib);
  return {
    channel,
    sent,
    bytes: () => bytes,
    crowd: (now) => (crowded = now),
    turns,
    bugs,
    adjusted: () => adjusted,
    over: () => over,
    budget,
  };
}

function recorder(): ChannelReader & { seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    data: (chunk) => seen.push(`data ${chunk.length}`),
    end: () => seen.push('end'),
    closed: (clean) => seen.push(`closed ${clean}`),
    drain: () => seen.push('drain'),
  };
}

describe('a channel writes', () => {
  test('packets no longer than the peer takes', () => {
    const { channel, sent } = scene({ packetSize: 1000 });
    expect(channel.write(Buffer.alloc(2500))).toBe(true);
    expect(sent).toEqual(['data 1000', 'data 1000', 'data 500']);
  });

  test('no more than the window, and the rest when it opens', () => {
    const { channel, sent, bytes } = scene({ window: 1000 });
    const reader = recorder();
    channel.attach(reader);
    expect(channel.write(Buffer.alloc(1500))).toBe(false);
    expect(bytes()).toBe(1000);
    channel.granted(200);
    expect([bytes(), reader.seen]).toEqual([1200, []]);
    channel.granted(5000);
    expect([bytes(), reader.seen]).toEqual([1500, ['drain']]);
    expect(sent.at(-1)).toBe('data 300');
  });

  test('into a crowded transport only what is small, and the rest at its turn', () => {
    const { channel, bytes, crowd, turns } = scene();
    const reader = recorder();
    channel.attach(reader);
    crowd(true);
    expect(channel.write(Buffer.from('keystroke'))).toBe(false);
    expect(bytes()).toBe(9);
    expect(channel.write(Buffer.alloc(64 * 1024))).toBe(false);
    expect(bytes()).toBe(9);
    expect(turns).toHaveLength(1);
    crowd(false);
    turns[0]?.turn();
    expect(bytes()).toBe(9 + 64 * 1024);
    expect(reader.seen).toEqual(['drain']);
  });

  test('to a peer that takes a byte a packet a little at a time', () => {
    const { channel, sent, turns } = scene({ packetSize: 1 });
    const reader = recorder();
    channel.attach(reader);
    expect(channel.write(Buffer.alloc(1000))).toBe(false);
    expect(sent.length).toBeLessThan(100);
    for (let next = turns.shift(); next !== undefined; next = turns.shift()) {
      const before = sent.length;
      next.turn();
      expect(sent.length - before).toBeLessThan(100);
    }
    expect(sent).toHaveLength(1000);
    expect(reader.seen).toEqual(['drain']);
  });

  test('its end after everything written, however late', () => {
    const { channel, sent } = scene({ window: 10 });
    channel.attach(recorder());
    channel.write(Buffer.alloc(15));
    channel.end();
    expect(sent).toEqual(['data 10']);
    channel.granted(100);
    expect(sent).toEqual(['data 10', 'data 5', 'end']);
    expect(channel.write(Buffer.alloc(1))).toBe(true);
    expect(sent).toHaveLength(3);
  });

  test('every byte once and in order, whatever the windows and turns', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.nat(5000).map((n) => ({ write: n })),
            fc.nat(5000).map((n) => ({ grant: n })),
            fc.boolean().map((crowded) => ({ crowded })),
            fc.constant({ turn: true }),
          ),
          { maxLength: 60 },
        ),
        (acts) => {
          const { channel, bytes, crowd, turns, sent } = scene({ window: 3000, packetSize: 700 });
          channel.attach(recorder());
          let written = 0;
          let granted = 3000;
          for (const act of acts) {
            if ('write' in act) written += act.write;
            if ('write' in act) channel.write(Buffer.alloc(act.write));
            if ('grant' in act) granted += act.grant;
            if ('grant' in act) channel.granted(act.grant);
            if ('crowded' in act) crowd(act.crowded);
            if ('turn' in act) turns.shift()?.turn();
            expect(bytes()).toBeLessThanOrEqual(Math.min(written, granted));
          }
          crowd(false);
          channel.granted(written);
          channel.end();
          while (turns.length > 0) turns.shift()?.turn();
          expect(bytes()).toBe(written);
          expect(sent.at(-1)).toBe('end');
        },
      ),
    );
  });
});

describe('a channel reads', () => {
  test('and gives back exactly what was consumed', () => {
    const { channel, adjusted } = scene();
    channel.attach(recorder());
    for (let turn = 0; turn < 1000; turn += 1) {
      channel.received(Buffer.alloc(32 * 1024));
      channel.consumed(32 * 1024);
    }
    const received = 1000 * 32 * 1024;
    expect(received - adjusted()).toBeGreaterThanOrEqual(0);
    expect(received - adjusted()).toBeLessThan(mib / 4 + 32 * 1024);
  });

  test('and gives nothing back for what is not consumed', () => {
    const { channel, sent } = scene();
    channel.attach(recorder());
    for (let turn = 0; turn < 64; turn += 1) channel.received(Buffer.alloc(32 * 1024));
    expect(sent).toEqual([]);
    channel.consumed(2 * mib);
    expect(sent).toEqual([`adjust ${2 * mib}`]);
  });

  test('what came early, in order, once somebody is there', async () => {
    const { channel } = scene();
    channel.received(Buffer.from('one'));
    channel.ended();
    channel.closedByPeer();
    const reader = recorder();
    channel.attach(reader);
    expect(reader.seen).toEqual([]);
    await Promise.resolve();
    expect(reader.seen).toEqual(['data 3', 'end', 'closed true']);
  });

  test('no more than its window: a peer that floods is closed', () => {
    const { channel, sent } = scene();
    channel.attach(recorder());
    for (let turn = 0; turn < 100; turn += 1) channel.received(Buffer.alloc(32 * 1024));
    expect(sent).toEqual(['close']);
  });

  test('no message without bytes', () => {
    const { channel } = scene();
    const reader = recorder();
    channel.attach(reader);
    for (let count = 0; count < 100; count += 1) channel.received(Buffer.alloc(0));
    channel.received(Buffer.alloc(3));
    expect(reader.seen).toEqual(['data 3']);
  });

  test('very many small pieces as few, when it does not let go of them, and every byte in order', () => {
    const { channel } = scene();
    const pieces: Buffer[] = [];
    const reader = { ...recorder(), data: (chunk: Buffer) => pieces.push(Buffer.from(chunk)) };
    channel.attach(reader);
    const all = randomBytes(300_000);
    for (const byte of all) channel.received(Buffer.of(byte));
    channel.ended();
    expect(pieces.length).toBeLessThan(1100);
    expect(Buffer.concat(pieces).equals(all)).toBe(true);
  });

  test('very many small pieces as few before anybody reads, too', async () => {
    const { channel } = scene();
    const all = randomBytes(200_000);
    for (const byte of all) channel.received(Buffer.of(byte));
    const pieces: Buffer[] = [];
    channel.attach({ ...recorder(), data: (chunk: Buffer) => pieces.push(Buffer.from(chunk)) });
    channel.ended();
    await Promise.resolve();
    expect(pieces.length).toBeLessThan(1100);
    expect(Buffer.concat(pieces).equals(all)).toBe(true);
  });

  test('every byte once and in order, whatever the pieces and however late they are let go of', () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          get: fc.integer({ min: 1, max: 6000 }),
          times: fc.integer({ min: 1, max: 900 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ letGo: fc.double({ min: 0, max: 1, noNaN: true }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { channel } = scene();
        const [fed, read] = [createHash('sha256'), createHash('sha256')];
        let [sum, got, gone] = [0, 0, 0];
        channel.attach({
          ...recorder(),
          data(chunk: Buffer) {
            got += chunk.length;
            read.update(chunk);
          },
        });
        const letGo = (bytes: number): void => {
          if (bytes <= 0) return;
          gone += bytes;
          channel.consumed(bytes);
        };
        for (const one of steps) {
          if ('letGo' in one) letGo(Math.floor((got - gone) * one.letGo));
          else
            for (let time = 0; time < one.times && sum - gone < 1.9 * mib; time += 1) {
              const chunk = Buffer.alloc(one.get > 5000 ? 8000 : one.get % 7, sum % 251);
              fed.update(chunk);
              sum += chunk.length;
              channel.received(chunk);
            }
          letGo(0);
        }
        // whoever reads on gets everything
        while (got > gone) letGo(got - gone);
        expect(got).toBe(sum);
        expect(read.digest('hex')).toBe(fed.digest('hex'));
      }),
    );
  });

  test('the other stream without a word, but counts its window', () => {
    const { channel, adjusted } = scene();
    const reader = recorder();
    channel.attach(reader);
    for (let turn = 0; turn < 64; turn += 1) channel.receivedExtended(32 * 1024);
    expect(reader.seen).toEqual([]);
    expect(adjusted()).toBeGreaterThan(mib);
  });
});

describe('a channel ends', () => {
  test('cleanly when the peer closes, and answers the close once', () => {
    const { channel, sent, over, budget } = scene();
    const reader = recorder();
    channel.attach(reader);
    channel.ended();
    channel.closedByPeer();
    channel.lost();
    channel.close();
    expect(reader.seen).toEqual(['end', 'closed true']);
    expect(sent).toEqual(['close']);
    expect([over(), budget.open, budget.used]).toEqual([true, 0, 0]);
  });

  test('uncleanly with its link', () => {
    const { channel, sent } = scene();
    const reader = recorder();
    channel.attach(reader);
    channel.ended();
    channel.lost();
    channel.closedByPeer();
    expect(reader.seen).toEqual(['end', 'closed false']);
    expect(sent).toEqual([]);
  });

  test('for both when we close it, and delivers nothing after that', () => {
    const { channel, sent } = scene();
    const reader = recorder();
    channel.attach(reader);
    channel.close();
    channel.received(Buffer.alloc(10));
    channel.ended();
    expect([sent, reader.seen]).toEqual([['close'], []]);
    channel.closedByPeer();
    expect(reader.seen).toEqual(['closed true']);
  });

  test('and gives its share of the windows back when we close it, whether the peer answers or not, once', () => {
    const { channel, budget, over } = scene();
    expect(budget).toMatchObject({ open: 1, used: 2 * mib });
    channel.close();
    expect(budget).toMatchObject({ open: 0, used: 0 });
    channel.closedByPeer();
    expect(over()).toBe(true);
    expect(budget).toMatchObject({ open: 0, used: 0 });
    const other = scene();
    other.channel.lost();
    expect(other.budget).toMatchObject({ open: 0, used: 0 });
  });

  test('alone when its reader throws: that is a bug, not the end of the link', () => {
    const { channel, bugs, sent } = scene();
    channel.attach({
      ...recorder(),
      data: () => {
        throw new Error('a bug');
      },
    });
    channel.received(Buffer.alloc(1));
    expect(bugs).toHaveLength(1);
    expect(sent).toEqual(['close']);
  });
});
