// SIGKILL at random moments of what changes files, a few times; `npm run chaos -- --kills 200` is the long form.
import { expect, test } from 'vitest';
import { runKills } from '../../chaos/kills.ts';
import { sshdMissing } from '../helpers/sshd.ts';

test.skipIf(sshdMissing() !== null)(
  'commands and supervisors that are killed lose nothing, tear nothing, leave nothing lying and nothing in the way',
  async () => {
    const { broken, struck } = await runKills({ seed: 3, kills: 6 });
    expect(broken).toEqual([]);
    expect(Object.keys(struck).length).toBeGreaterThan(5);
  },
  300_000,
);
