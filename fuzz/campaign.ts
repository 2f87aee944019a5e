// A campaign: one target, its corpus first, then changed inputs; those with a new outcome join the corpus.
import { createRandom } from '../chaos/random.ts';
import { mutate } from './mutate.ts';
import { assertUnpolluted, type Target } from './target.ts';

export interface Findings {
  readonly parser: string;
  readonly runs: number;
  /** Outcomes that differ. */
  readonly outcomes: number;
  readonly seed: string;
  /** Null: everything held. */
  readonly broken: { readonly run: number; readonly input: Buffer; readonly thrown: unknown } | null;
}

/** More kept inputs than that only make the next ones alike. */
const mostKept = 2000;

export async function campaign(target: Target, runs: number, seed: string): Promise<Findings> {
  const random = createRandom(`${seed}/${target.name}`);
  const outcomes = new Set<string>();
  const kept = [...target.corpus];
  let run = 0;
  let input: Buffer = Buffer.alloc(0);
  const found = (broken: Findings['broken']): Findings => ({
    parser: target.name,
    runs: run,
    outcomes: outcomes.size,
    seed,
    broken,
  });
  try {
    for (; run < runs; run += 1) {
      // Half of them from the corpus, which is short: what is kept grows longer and longer.
      const from = random.chance(0.5) ? target.corpus : kept;
      input = target.corpus[run] ?? mutate(random.pick(from), random, { words: target.words, others: kept });
      const checked = target.check(input);
      const outcome = typeof checked === 'string' ? checked : await checked;
      if (outcomes.has(outcome)) continue;
      outcomes.add(outcome);
      assertUnpolluted();
      if (run >= target.corpus.length && kept.length < mostKept) kept.push(input);
    }
    assertUnpolluted();
  } catch (thrown) {
    return found({ run, input: Buffer.from(input), thrown });
  }
  return found(null);
}
