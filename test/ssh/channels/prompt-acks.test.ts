// Acknowledgements in time, with a clock of our own: sent for the last small read alone, and no more of them than may be.
import { describe, expect, test } from 'vitest';
import { createAckBudget, PromptAcks } from '../../../src/ssh/channels/prompt-acks.ts';
import { manualClock, type ManualClock } from '../../helpers/manual-clock.ts';

interface Scene {
  readonly acks: PromptAcks;
  readonly clock: ManualClock;
  readonly ignored: () => number;
  readonly send: () => void;
}

function scene(): Scene {
  const clock = manualClock();
  let sent = 0;
  let ignored = 0;
  const acks = new PromptAcks({
    clock,
    budget: createAckBudget(clock),
    sent: () => sent,
    ignore: () => {
      ignored += 1;
      sent += 1;
    },
  });
  return { acks, clock, ignored: () => ignored, send: () => (sent += 1) };
}

describe('an acknowledgement', () => {
  test('goes out when a small read was followed by nothing', () => {
    const { acks, clock, ignored } = scene();
    acks.received(60);
    expect(ignored()).toBe(0);
    clock.advance(1);
    expect(ignored()).toBe(1);
    clock.advance(1000);
    expect(ignored()).toBe(1);
  });

  test('rides on what is sent anyway', () => {
    const { acks, clock, ignored, send } = scene();
    acks.received(60);
    send();
    clock.advance(10);
    expect(ignored()).toBe(0);
  });

  test('is for the last read of a burst: an answer between the first and it carried the first alone', () => {
    const { acks, clock, ignored, send } = scene();
    acks.received(60);
    clock.advance(0.7);
    send();
    acks.received(60);
    clock.advance(0.3); // the look for the first read comes too early for the second
    expect(ignored()).toBe(0);
    clock.advance(1);
    expect(ignored()).toBe(1);
  });

  test('does not follow a large read: of that the kernel tells by itself', () => {
    const { acks, clock, ignored } = scene();
    acks.received(32 * 1024);
    clock.advance(10);
    expect(ignored()).toBe(0);
    expect(clock.armed()).toBe(0);
  });

  test('is sent a thousand times a second at most, by all sessions together, after a burst', () => {
    const clock = manualClock();
    const budget = createAckBudget(clock);
    let ignored = 0;
    const sessions = Array.from(
      { length: 50 },
      () => new PromptAcks({ clock, budget, sent: () => 0, ignore: () => (ignored += 1) }),
    );
    for (let ms = 0; ms < 1000; ms += 2) {
      for (const session of sessions) session.received(1);
      clock.advance(2);
    }
    expect(ignored).toBeGreaterThan(1000);
    expect(ignored).toBeLessThanOrEqual(1100);
  });

  test('is wanted no more after the end', () => {
    const { acks, clock, ignored } = scene();
    acks.received(60);
    acks.stop();
    clock.advance(10);
    expect(ignored()).toBe(0);
    expect(clock.armed()).toBe(0);
  });
});
