// The long proof: which rounds it has, and that it goes on where it was broken off.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { outcomesIn, playPlan, roundsOf, type Outcome, type Round } from '../../chaos/plan.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const over = ({ seed, seconds }: Round): Outcome => ({
  seed,
  seconds,
  verdict: null,
  failure: 'none was played',
});

describe('a plan', () => {
  it('is so many rounds of so many seconds, each with a seed of its own', () => {
    expect(roundsOf('2x10,1x300', 7)).toEqual([
      { seed: 7, seconds: 10 },
      { seed: 8, seconds: 10 },
      { seed: 9, seconds: 300 },
    ]);
  });

  it.each(['', '10', '0x10', '2x', '2x10,,', '2x10s'])('is not %j', (plan) => {
    expect(() => roundsOf(plan, 1)).toThrow('ROUNDSxSECONDS');
  });

  it('goes on where it was broken off, be it in the middle of a line, and comes to all of its rounds', async () => {
    const file = join(temporaryFolder('plan'), 'plan.jsonl');
    const rounds = roundsOf('5x10', 1);
    const played: number[] = [];
    const play = (round: Round): Promise<Outcome> => {
      if (played.length === 3) return Promise.reject(new Error('the machine went away'));
      played.push(round.seed);
      return Promise.resolve(over(round));
    };
    const parts = { rounds, jobs: 1, file, told: () => undefined };
    await expect(playPlan({ ...parts, play })).rejects.toThrow('went away');
    appendFileSync(file, '{"seed":4,"sec');
    const again: number[] = [];
    const counted: number[] = [];
    const outcomes = await playPlan({
      ...parts,
      jobs: 2,
      told: (_outcome, done) => counted.push(done),
      play: (round) => {
        again.push(round.seed);
        return Promise.resolve(over(round));
      },
    });
    expect(played).toEqual([1, 2, 3]);
    expect(again).toEqual([4, 5]);
    expect(counted).toEqual([4, 5]);
    expect(outcomes.map(({ seed }) => seed)).toEqual([1, 2, 3, 4, 5]);
    expect(outcomesIn(file).map(({ seed }) => seed)).toEqual([1, 2, 3, 4, 5]);
  });
});
