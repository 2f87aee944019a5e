// npm run fuzz -- [--parser NAME] [--runs N] [--seed S]: every parser against changed inputs; a table, and exit 1 where a property broke.
import { parseArgs, inspect } from 'node:util';
import { runScript } from '../test/helpers/script.ts';
import { campaign } from './campaign.ts';
import { targets } from './targets.ts';

const usage = `usage: npm run fuzz -- [--parser NAME] [--runs N] [--seed S]
parsers: ${targets.map(({ name }) => name).join(', ')}`;

interface Asked {
  readonly chosen: typeof targets;
  readonly runs: number;
  readonly seed: string;
}

function readWords(argv: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      parser: { type: 'string' },
      runs: { type: 'string', default: '100000' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    },
  });
  const runs = Number(values.runs);
  if (!Number.isSafeInteger(runs) || runs < 1)
    throw new RangeError(`--runs: ${values.runs} is no whole number above 0`);
  const chosen = targets.filter(({ name }) => values.parser === undefined || name === values.parser);
  if (chosen.length === 0) throw new RangeError(`--parser: there is no parser ${values.parser}`);
  return { chosen, runs, seed: values.seed };
}

async function run({ chosen, runs, seed }: Asked): Promise<number> {
  let code = 0;
  console.log(
    `${'PARSER'.padEnd(16)}${'RUNS'.padStart(9)}${'OUTCOMES'.padStart(10)}${'SECONDS'.padStart(9)}  SEED`,
  );
  for (const target of chosen) {
    const begun = performance.now();
    const { broken, ...found } = await campaign(target, runs, seed);
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    console.log(
      `${found.parser.padEnd(16)}${String(found.runs).padStart(9)}${String(found.outcomes).padStart(10)}${seconds.padStart(9)}  ${found.seed}${broken === null ? '' : '  BROKEN'}`,
    );
    if (broken === null) continue;
    console.log(`run ${broken.run}, input in base64: ${broken.input.toString('base64')}`);
    console.log(inspect(broken.thrown));
    code = 1;
  }
  return code;
}

await runScript({ usage, read: readWords, run });
