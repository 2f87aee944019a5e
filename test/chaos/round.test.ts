// Short chaos runs against a real sshd and the built program: seeds that must hold, and one whose clients are lied to.
import { describe, expect, test } from 'vitest';
import { runRound } from '../../chaos/round.ts';
import { judge } from '../../chaos/verdict.ts';
import { startRelay, type Relay } from '../helpers/lying-relay.ts';
import { sshdMissing } from '../helpers/sshd.ts';

/** Seeds that found something once stay here, with the seconds of their run and what they found. */
const seeds: readonly (readonly [seed: number, seconds: number, found: string])[] = [
  [1, 4, 'nothing'],
  [200, 8, 'a reset after our own end was passed on as an end'],
];

describe.skipIf(sshdMissing() !== null)('a chaos run', () => {
  test.each(seeds)(
    'of seed %i, %i s, breaks no invariant (%s)',
    async (seed, seconds) => {
      const { broken, figures } = judge(await runRound({ seed, seconds }));
      expect(broken).toEqual([]);
      expect(figures.whole).toBeGreaterThan(20);
    },
    180_000,
  );

  test('in which somebody flips a bit behind the tunnel is broken', async () => {
    const relays: Relay[] = [];
    const evidence = await runRound({
      seed: 2,
      seconds: 1,
      async disguise(way) {
        const at = way.at();
        if (way.name !== 'near.port' || at === null) return way;
        const relay = await startRelay(at, 'flip', 5000);
        relays.push(relay);
        return { ...way, at: () => relay.port };
      },
    });
    for (const relay of relays) await relay[Symbol.asyncDispose]();
    const { broken, figures } = judge(evidence);
    expect(figures.altered).toBeGreaterThan(0);
    expect(broken.find(({ invariant }) => invariant === 'altered')?.text).toContain('near.port');
  }, 180_000);
});
